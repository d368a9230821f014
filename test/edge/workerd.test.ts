// The control plane on workerd: what every runtime must do.
import { controlPlaneContract } from './control-plane.contract.ts'

controlPlaneContract('workerd')
