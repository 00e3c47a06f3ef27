/** The HTTP interface of webhooks. */
import { Layer } from "effect"
import { WebhookClient } from "./WebhookClient.ts"
import { DeliveryRows } from "./Deliveries/DeliveryRows.ts"
import * as DeliveriesHttp from "./Deliveries/Http.ts"
import { EndpointRows } from "./Endpoints/EndpointRows.ts"
import * as EndpointsHttp from "./Endpoints/Http.ts"
import * as ListenersHttp from "./Listeners/Http.ts"
import { ListenerRows } from "./Listeners/ListenerRows.ts"

export const layer = Layer.mergeAll(EndpointsHttp.layer, DeliveriesHttp.layer, ListenersHttp.layer).pipe(
  Layer.provide([EndpointRows.layer, DeliveryRows.layer, ListenerRows.layer, WebhookClient.layer])
)
