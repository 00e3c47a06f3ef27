/** Which view the address names; each keeps the place that it was scrolled to. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks"

export type View = "recordings" | "live"

const viewOf = (): View => (location.hash === "#live" ? "live" : "recordings")

export function useView(): View {
  const [view, show] = useState(viewOf)
  const places = useRef<Record<View, number>>({ recordings: 0, live: 0 })
  const shown = useRef(view)
  useEffect(() => {
    history.scrollRestoration = "manual"
    const look = () => {
      if (viewOf() === shown.current) return
      places.current[shown.current] = window.scrollY
      shown.current = viewOf()
      show(shown.current)
    }
    window.addEventListener("hashchange", look)
    return () => window.removeEventListener("hashchange", look)
  }, [])
  useLayoutEffect(() => window.scrollTo(0, places.current[view]), [view])
  return view
}
