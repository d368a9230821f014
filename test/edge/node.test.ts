// The control plane on Node: what every runtime must do.
import { controlPlaneContract } from './control-plane.contract.ts'

controlPlaneContract('node')
