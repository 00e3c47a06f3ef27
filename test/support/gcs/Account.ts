/** A fake service account: its key file, and the server's view of it. */
import { generateKeyPairSync } from "node:crypto"
import * as fs from "node:fs"
import { join } from "node:path"
import type { Account } from "./Signature.ts"

export interface TestAccount extends Account {
  readonly privateKey: string
}

export const make = (clientEmail = "spillway@example.iam.gserviceaccount.com"): TestAccount => {
  const keys = generateKeyPairSync("rsa", {
    modulusLength: 2_048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" }
  })
  return { clientEmail, publicKey: keys.publicKey, privateKey: keys.privateKey }
}

/** The key file in Google's format. `token_uri` is unreachable, as no token is fetched. */
export const keyFile = ({ clientEmail, privateKey }: TestAccount) => ({
  type: "service_account",
  project_id: "example",
  private_key_id: "1",
  private_key: privateKey,
  client_email: clientEmail,
  client_id: "1",
  token_uri: "https://oauth2.invalid/token"
})

export const writeKeyFile = (directory: string, account: TestAccount): string => {
  const path = join(directory, "key.json")
  fs.writeFileSync(path, JSON.stringify(keyFile(account)), { mode: 0o600 })
  return path
}
