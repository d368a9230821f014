// The control plane on Deno: what every runtime must do.
import { controlPlaneContract } from './control-plane.contract.ts'

controlPlaneContract('deno')
