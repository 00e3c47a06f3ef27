/** Dark or light, as the system has it: what is drawn on a canvas is drawn again when it changes. */
import { useEffect, useState } from "preact/hooks"

export function useScheme(): "dark" | "light" {
  const query = window.matchMedia("(prefers-color-scheme: dark)")
  const [isDark, setDark] = useState(query.matches)
  useEffect(() => {
    const look = () => setDark(query.matches)
    query.addEventListener("change", look)
    return () => query.removeEventListener("change", look)
  }, [])
  return isDark ? "dark" : "light"
}
