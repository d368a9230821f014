// The bus over a WebSocket, as in a Durable Object of workerd.
import { busContract } from './bus.contract.ts'

busContract('websocket')
