/** Entry point of the page. */
import { render } from "preact"
import { App } from "./App.tsx"

const root = document.getElementById("page")
if (root !== null) {
  root.replaceChildren()
  render(<App />, root)
}
