# A stand-in for nixpkgs: the attributes that flake.nix may use, all of which nixpkgs has at the locked revision.
let
  genAttrs =
    names: f:
    builtins.listToAttrs (
      map (name: {
        inherit name;
        value = f name;
      }) names
    );
  package = name: {
    inherit name;
    type = "derivation";
  };
  names = [
    "chromium"
    "ffmpeg"
    "nginx"
    "nodejs_24"
    "opus-tools"
    "postgresql"
    "sox"
    "wrk"
  ];
  lib = {
    inherit genAttrs;
    getExe = of: "/nix/store/stub/bin/${of.name}";
    optionalAttrs = condition: attributes: if condition then attributes else { };
  };
  of =
    system:
    genAttrs names package
    // {
      inherit lib;
      mkShell = attributes: attributes // { packages = map (each: each.name) attributes.packages; };
      stdenv.hostPlatform.isLinux = builtins.match ".*-linux" system != null;
    };
in
{
  inherit lib;
  legacyPackages = genAttrs [ "aarch64-darwin" "aarch64-linux" "x86_64-linux" ] of;
}
