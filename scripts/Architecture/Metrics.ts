/** The rule on names of metrics: they end as Prometheus expects, so that a name shows its type and its unit. */
import { at, inSource, type Rule } from "./Rule.ts"
import { chain, child, nodeOf, textOf, walk } from "./Source.ts"

/** How the name ends, by the function that makes the metric. */
const endings = new Map<string, readonly [RegExp, string]>([
  ["counter", [/_total$/, "a counter ends in `_total`"]],
  ["gauge", [/(?<!_total)$/, "only a counter ends in `_total`"]],
  ["histogram", [/_(seconds|bytes)$/, "a histogram ends in its unit, `_seconds` or `_bytes`"]],
  ["DurationHistogram.make", [/_seconds$/, "a histogram of durations ends in `_seconds`"]]
])

const metricName: Rule = {
  name: "metric-name",
  check: (source) => {
    if (!inSource(source.path)) return []
    return [...walk(source.root)].flatMap(([node]) => {
      if (node.type !== "CallExpression") return []
      const callee = chain(child(node, "callee"))
      if (callee.join(".") === "Metric.timer")
        return [at(source, node.start, "`Metric.timer` exports milliseconds: use `DurationHistogram`")]
      const [pattern, expected] = endings.get(callee.at(-1) ?? "") ?? endings.get(callee.join(".")) ?? []
      const [argument] = Array.isArray(node.fields["arguments"]) ? node.fields["arguments"] : []
      const name = textOf(nodeOf(argument), "value")
      return name === undefined || pattern === undefined || pattern.test(name)
        ? []
        : [at(source, node.start, `\`${name}\`: ${expected}`)]
    })
  }
}

export const rules: ReadonlyArray<Rule> = [metricName]
