# `nix develop`: everything that `npm start`, `npm test`, `npm run check` and `npm run bench` use.
{
  description = "Spillway: a self-hosted backend for live audio";

  inputs.nixpkgs.url = "github:nixos/nixpkgs/nixpkgs-unstable";

  outputs =
    { nixpkgs, ... }:
    let
      systems = [
        "aarch64-darwin"
        "aarch64-linux"
        "x86_64-linux"
      ];
      shell =
        pkgs:
        pkgs.mkShell (
          {
            packages = [
              pkgs.nodejs_24
              pkgs.postgresql
              pkgs.ffmpeg
              pkgs.sox
              pkgs.opus-tools
              pkgs.nginx
              pkgs.wrk
            ];
          }
          # nixpkgs has no Chromium for macOS; set CHROMIUM_PATH yourself there.
          // pkgs.lib.optionalAttrs pkgs.stdenv.hostPlatform.isLinux {
            CHROMIUM_PATH = pkgs.lib.getExe pkgs.chromium;
          }
        );
    in
    {
      devShells = nixpkgs.lib.genAttrs systems (system: {
        default = shell nixpkgs.legacyPackages.${system};
      });
    };
}
