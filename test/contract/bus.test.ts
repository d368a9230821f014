// The bus over TCP, as on Node and Deno.
import { busContract } from './bus.contract.ts'

busContract('tcp')
