/** Where webhooks may be sent. */
import { Context, Result } from "effect"
import { IpNetwork } from "effect/net"
import * as Settings from "../Settings.ts"

const mostNetworks = 20

const isNetwork = (text: string) => Result.isSuccess(IpNetwork.fromString(text))

const settings = {
  allowHttp: Settings.choice(
    "SPILLWAY_WEBHOOK_ALLOW_HTTP",
    "no",
    ["yes", "no"],
    "Whether webhooks may have `http:` URLs, whose requests anyone on the way can read. Set `yes` for endpoints in one's own network."
  ),
  allowAddresses: Settings.optionalText(
    "SPILLWAY_WEBHOOK_ALLOW_ADDRESSES",
    `1 to ${mostNetworks} networks such as \`10.1.0.0/16\` or \`127.0.0.1/32\`, separated by commas`,
    (text) => text.split(",").length <= mostNetworks && text.split(",").every(isNetwork),
    "Networks that webhooks may reach besides public addresses. Set it for endpoints in one's own network: any user with a key can then send requests to these addresses."
  )
}

export class WebhooksConfig extends Context.Service<WebhooksConfig, Settings.Values<typeof settings>>()(
  "spillway/Webhooks/WebhooksConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
