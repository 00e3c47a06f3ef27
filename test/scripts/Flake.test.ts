/** The flake's lock belongs to its pin, and its shells bring what the project uses. */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { lockProblems, shellProblems } from "../../scripts/Flake.ts"
import { testFolder } from "../support/TestFolder.ts"

const root = path.join(import.meta.dirname, "../..")
const flake = fs.readFileSync(path.join(root, "flake.nix"), "utf8")
const lock = fs.readFileSync(path.join(root, "flake.lock"), "utf8")
const stub = path.join(root, "scripts/Flake/nixpkgs.nix")
const hasNix = spawnSync("nix-instantiate", ["--version"]).status === 0

const shells = (text: string) => {
  const file = path.join(testFolder(), "flake.nix")
  fs.writeFileSync(file, text)
  return shellProblems(file, stub).join("\n")
}

describe("Flake", () => {
  it("accepts the project's own lock", () => {
    assert.deepStrictEqual(lockProblems(flake, lock), [])
  })

  it.each([
    ["another branch", flake.replace("nixpkgs-unstable", "nixos-26.05"), lock, "has not the ref nixos-26.05"],
    ["another owner", flake.replace("github:nixos/", "github:someone/"), lock, "has not the owner someone"],
    ["a cut revision", flake, lock.replace(/"rev": "\w{8}/, '"rev": "'), "has no full revision"],
    ["a cut hash", flake, lock.replace("uo=", "="), "has no sha256 narHash"],
    ["an old format", flake, lock.replace('"version": 7', '"version": 6'), "version is not 7"],
    ["an input that is gone", flake.replace("inputs.nixpkgs", "inputs.other"), lock, "nixpkgs is no input"]
  ])("refuses a lock of %s", (_, flakeText, lockText, message) => {
    assert.include(lockProblems(flakeText, lockText).join("\n"), message)
  })

  if (hasNix) {
    it("finds a shell that lacks a tool, and a flake that can't be evaluated", () => {
      assert.strictEqual(shells(flake), "")
      assert.include(shells(flake.replace("pkgs.sox", "")), "the shell for x86_64-linux has no sox")
      assert.include(shells(flake.replaceAll("CHROMIUM_PATH", "CHROME")), "has no CHROMIUM_PATH")
      assert.include(shells(flake.replace("pkgs.sox", "pkgs.soxx")), "can't be evaluated")
      assert.include(shells(flake.replace("pkgs.sox", "pkgs.sox (")), "can't be evaluated")
    })
  } else {
    it("skips the shells where Nix is missing", () => {
      assert.strictEqual(shells("no flake at all"), "")
    })
  }
})
