/** The system's colour scheme. Rerenders on changes, as canvases must be redrawn. */
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
