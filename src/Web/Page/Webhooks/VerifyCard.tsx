/** Code that verifies signatures, to copy. */
import { useState } from "preact/hooks"
import { CopyButton } from "../List/CopyButton.tsx"

/** As in docs/webhooks.md. */
const snippets = {
  Node: `import { createHmac, timingSafeEqual } from "node:crypto"

export function verify(secret, headers, body) {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures } = headers
  if (!(Math.abs(Date.now() / 1000 - timestamp) < 300)) throw new Error("the request is too old")
  const key = Buffer.from(secret.replace("whsec_", ""), "base64")
  const expected = createHmac("sha256", key).update(\`\${id}.\${timestamp}.\`).update(body).digest()
  for (const each of signatures.split(" ")) {
    const [version, signature = ""] = each.split(",")
    const given = Buffer.from(signature, "base64")
    if (version === "v1" && given.length === expected.length && timingSafeEqual(given, expected)) return
  }
  throw new Error("the signature is wrong")
}`,
  Python: `import base64, hashlib, hmac, time

def verify(secret: str, headers: dict[str, str], body: bytes) -> None:
    id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if not abs(time.time() - int(timestamp)) < 300:
        raise ValueError("the request is too old")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256)
    expected = "v1," + base64.b64encode(digest).decode()
    if not any(hmac.compare_digest(expected, each) for each in headers["webhook-signature"].split(" ")):
        raise ValueError("the signature is wrong")`,
  Go: `func verify(secret string, header http.Header, body []byte) error {
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return errors.New("the request is too old")
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	expected := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, each := range strings.Fields(header.Get("webhook-signature")) {
		if hmac.Equal([]byte(each), []byte(expected)) {
			return nil
		}
	}
	return errors.New("the signature is wrong")
}`
} as const

type Language = keyof typeof snippets
const languages: ReadonlyArray<Language> = ["Node", "Python", "Go"]

export function VerifyCard() {
  const [language, setLanguage] = useState<Language>("Node")
  return (
    <section class="card" aria-labelledby="verify-title">
      <h3 id="verify-title">Verify requests</h3>
      <p class="hint">
        Any library of Standard Webhooks verifies signatures. Without one: call this with the secret, the headers, and
        the bytes of the body as they were received. It fails if the signature is wrong, or the request is older than
        five minutes.
      </p>
      <div class="row" role="group" aria-label="Language">
        {languages.map((each) => (
          <button
            key={each}
            type="button"
            class={each === language ? "quiet on" : "quiet"}
            aria-pressed={each === language}
            onClick={() => setLanguage(each)}
          >
            {each}
          </button>
        ))}
        <CopyButton label="Copy code" text={() => Promise.resolve(snippets[language])} />
      </div>
      <pre class="text" tabIndex={0} role="region" aria-label={`Code in ${language}`}>
        <code>{snippets[language]}</code>
      </pre>
    </section>
  )
}
