// What the pages with a viewer share: what they hold for their scripts, and how NiiVue shows it.
// oxlint-disable-next-line no-unused-vars -- the script behind this uses it
class Held {
  // NiiVue's options; what is not named is as NiiVue has it.
  static VIEW = {
    backColor: [0, 0, 0, 1],
    fontColor: [0.9, 0.9, 0.9, 1],
    crosshairColor: [1, 0.75, 0, 0.9],
    dragAndDropEnabled: false,
    loadingText: "",
    logLevel: "error",
    isAntiAlias: true,
    viewModeHotKey: "",
    clipPlaneHotKey: "",
    cycleClipPlaneHotKey: "",
  };
  static PLANES = {
    crosshairGap: 6,
    crosshairWidth: 0.4,
    isRadiologicalConvention: true,
    sagittalNoseLeft: true,
    multiplanarShowRender: 0,
    multiplanarPadPixels: 4,
    sliceType: 3,
  };

  static content() {
    return JSON.parse(document.getElementById("case").textContent);
  }

  // The bytes of what stands in the page compressed, as text.
  static unpack(text) {
    const bytes =
      Uint8Array.fromBase64?.(text) ??
      Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream();
    return new Response(stream.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  }

  // A point through an affine matrix of four rows.
  static through(matrix, point) {
    return matrix
      .slice(0, 3)
      .map((row) => row[3] + point.reduce((sum, at, i) => sum + row[i] * at, 0));
  }
}
