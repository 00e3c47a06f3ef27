/** Conversations and their audio over HTTP. */
import { Layer } from "effect"
import * as AudioHttp from "./AudioHttp.ts"
import * as ConversationsHttp from "./ConversationsHttp.ts"

export const layer = Layer.merge(AudioHttp.layer, ConversationsHttp.layer)
