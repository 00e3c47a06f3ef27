/** Without a browser, the tests of the page fail and say what to do. */
import { assert, it } from "@effect/vitest"
import { launch } from "./Browser.ts"

it("says how to install Chromium where there is none", () => {
  process.env["CHROMIUM_PATH"] = "/nowhere/chromium"
  assert.throws(
    () => void launch(),
    /none at \/nowhere\/chromium\. Install it \(.*apt-get install chromium.*CHROMIUM_PATH/
  )
})
