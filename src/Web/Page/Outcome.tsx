/** What an action did, and what failed. The regions stay on the page while they are empty, so that their changes are announced. */

/** Problems; empty ones are left out. */
export function Alert({ children }: { readonly children: string | ReadonlyArray<string> }) {
  const problems = [children].flat().filter((problem) => problem !== "")
  return (
    <div role="alert">
      {problems.map((problem) => (
        <p key={problem} class="problem">
          {problem}
        </p>
      ))}
    </div>
  )
}

export interface Outcome {
  /** Of the latest action. */
  readonly done: string
  readonly problem: string
  /** Why what is shown could not be read. */
  readonly message?: string
}

export function Outcome({ done, message = "", problem }: Outcome) {
  return (
    <>
      <div role="status">{done !== "" && <p class="hint">{done}</p>}</div>
      <Alert>{[problem, message]}</Alert>
    </>
  )
}
