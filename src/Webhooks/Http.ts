/** The HTTP interface of webhooks. */
import { Layer } from "effect"
import { WebhookClient } from "./WebhookClient.ts"
import { DeliveryRows } from "./Deliveries/DeliveryRows.ts"
import * as DeliveriesHttp from "./Deliveries/Http.ts"
import { EndpointRows } from "./Endpoints/EndpointRows.ts"
import * as EndpointsHttp from "./Endpoints/Http.ts"

export const layer = Layer.merge(EndpointsHttp.layer, DeliveriesHttp.layer).pipe(
  Layer.provide([EndpointRows.layer, DeliveryRows.layer, WebhookClient.layer])
)
