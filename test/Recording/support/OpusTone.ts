/** Half a second of a 440 Hz tone at 16 kHz as Opus: packets of 20 ms, made by libopus. */

export const sampleRate = 16_000

/** Samples of 25 packets. */
export const samples = 8_000

export const packets = [
  "SIM+0FZZmogAAYjnQjRZ8/ivi35SN9hpTtXpgeX2RnkF1JnsD3jYAkLy9YiM9IC72CgHWTfg",
  "SKp+n1fjKbySpaA9ri941GJSmYD1k477Uv4GfgcZqny8BJVH0RL81ws=",
  "SJ/5uWVe3s2O/c/CxKIntfxkAmo4jaOhwB43H3mRpVwRslTDwMMS2Vg=",
  "SJ/5uXhcgf4uRgTL+tYG6z/bEfXjoVQgaK/UDwQXu9ahizyIfOaXEHwSrW4ZYYA=",
  "SJ/6jBBZ0mECuYIUq/mhEPwGnJYachFFi5jX4hm+FS3U2nYg",
  "SJ/5xwHNRxEpJTNR6Wf1WbtYApvN5njF/xVd7sRfuMOLmXm4FG0EILBcZoA=",
  "SJ/6jBBZ0mFB3XkVyWNRcw4rhGhZkzu0EJMppVVCQx0cCotQ8PiS",
  "SJ/5xwHNRjZkFSR3rBg9qcqnJF2+3QSr6yVdwxQWw/5qYS7/kLtl+Uy55w0I",
  "SJ/5uXhciFlCPdSZ3ntAXfVQ5Bkrt74Rc9ZAYP3rGYSzoxzwJ2GyyOB8BpOdWA==",
  "SKBgv/Sv37243Z+HeIs5pFzqArFBBDYfxWTn9UQ1zdzoVg==",
  "SKFCJxDWPIWhFGsF3//QX9HwDi9DE0Q39KnZkRc/ImXgQizq/6UlB/VhGSYKwA==",
  "SKFCGXhciFkplAi57wDtxiY+fCVXC2xdErnrkeNL/6feU4PqbA==",
  "SKFCGXhci+NzUj8xGWHnOnjfwYb9ebqVlVI7TLPNteECe72B8RM1",
  "SKFCGXhcgjWTP9BAeM+5GN4fsU491PDmInwMxt+FdmN1z/ZG",
  "SKFCGXhch+zbxF+8NwlMtRqzDy2QvGYk3g2w7vJUt9YtbM0Sbciz4A==",
  "SKFCJ0t+iILfCkVM74roEz7SvhrnagUT5UFmQB8zl3Uzpsd9Yu6s0v3XCA==",
  "SKKKeXhcgjhZ9SgAzUE4Mx12u30flS2i+Z26iaI+/3ZmEnqtQVdkgrT/",
  "SKKKeXhcjBR5p4ND4jBjiRSeJNJnow3ij83zo+ylakE2jIR8CJna1MFi",
  "SKKKh0t+eiqnACUSUGSWPSWNOqSGQVYWd79A1kZ9+jupJcREhThN2MOaTX3A",
  "SKKKeXhcgaD/j8d7aEA45jcEq0WbL+EVInsPUgXrjCJDp6x0",
  "SKKKh0t+iUK9s30dhNgSYSspx2mihoqIpjl1O55RDyLbox+A",
  "SKPo4fpuPvqu3NvKDHB9Q7OZu5wQXTniJKpL0q69kil5Bd1mf9VYhUcRaOQloA==",
  "SKWCP/OfHF6sUaShW5x9rcxDjLBCaT8kToGSGFO+44B5wJK9OQ/YsyqE/i+0OH1Q",
  "SKZb1IA2Qzztt/ysYs0qrG+dPYe7zJD9juc0qhWEMJ3Xegvzh98S0xA=",
  "SKbShrv0bQ6SVecrQI5C1vFY7SBY099pwyGaOwgl39xK3sAKRieh3TYSgA=="
].map((text) => Buffer.from(text, "base64"))

/** The packets as one object. */
export const container = (originalBytes: number, from: ReadonlyArray<Uint8Array> = packets): Buffer => {
  const head = Buffer.alloc(8)
  head.writeUInt32LE(from.length, 0)
  head.writeUInt32LE(originalBytes, 4)
  const framed = from.map((packet) => {
    const length = Buffer.alloc(2)
    length.writeUInt16LE(packet.length)
    return Buffer.concat([length, packet])
  })
  return Buffer.concat([head, ...framed])
}

/** The share of the tone in the audio; 1 if it is nothing else. */
export const toneShare = (pcm: Uint8Array, from: number, to: number): number => {
  const view = Buffer.from(pcm.buffer, pcm.byteOffset, pcm.length)
  let [sine, cosine, all] = [0, 0, 0]
  for (let i = from; i < to; i++) {
    const sample = view.readInt16LE(i * 2)
    const angle = (2 * Math.PI * 440 * i) / sampleRate
    sine += sample * Math.sin(angle)
    cosine += sample * Math.cos(angle)
    all += sample * sample
  }
  return (2 * (sine * sine + cosine * cosine)) / ((to - from) * all)
}
