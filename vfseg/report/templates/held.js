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
    dragMode: 0, // the right button would change the window of the planes alone
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

  static SOLID = {
    sliceType: 4,
    show3Dcrosshair: true,
    crosshairWidth: 0.6,
    isOrientCube: true,
  };

  static content(id) {
    return JSON.parse(document.getElementById(id).textContent);
  }

  // A viewer without NiiVue's own keys, which turn what the page does not know of.
  static keyless(viewer) {
    return Object.assign(viewer, { keyDownListener() {}, keyUpListener() {} });
  }

  // The bytes of what stands in the page compressed, as text.
  static unpack(text) {
    const bytes =
      Uint8Array.fromBase64?.(text) ??
      Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream();
    return new Response(stream.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  }

  // Several of them, by name: their bytes.
  static async unpackAll(texts) {
    const contents = await Promise.all(Object.values(texts).map(Held.unpack));
    return Object.fromEntries(
      Object.keys(texts).map((name, at) => [name, new Uint8Array(contents[at])]),
    );
  }

  // After the next picture of the page is seen.
  static seen() {
    return new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  }

  // A point through an affine matrix of four rows.
  static through(matrix, point) {
    return matrix
      .slice(0, 3)
      .map((row) => row[3] + point.reduce((sum, at, i) => sum + row[i] * at, 0));
  }
}
