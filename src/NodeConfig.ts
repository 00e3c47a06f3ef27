/** Where this node stores its data. */
import { Context } from "effect"
import * as Settings from "./Settings.ts"

const settings = {
  dataDir: Settings.text(
    "SPILLWAY_DATA_DIR",
    "./data",
    "Directory for everything that this node stores on disk. Set it to a durable local disk with room for the journal. Two nodes must not share one."
  )
}

export class NodeConfig extends Context.Service<NodeConfig, Settings.Values<typeof settings>>()("spillway/NodeConfig") {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
