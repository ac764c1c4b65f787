// Joins the views of a page: NiiVue for the planes and in 3D, a canvas for the picture along the
// spine. One place, one threshold and one window hold for all of them. NiiVue and `Layers` stand
// before this.
/* global Niivue, Layers */
{
  const page = JSON.parse(document.getElementById("case").textContent);
  const element = (id) => document.getElementById(id);
  const isOn = (id) => element(id)?.checked ?? false;

  const bytesOf = (text) =>
    Uint8Array.fromBase64?.(text) ?? Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const unpack = (text) => {
    const stream = new Blob([bytesOf(text)]).stream();
    return new Response(stream.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  };
  const unpackAll = async (texts) => {
    const contents = await Promise.all(Object.values(texts).map(unpack));
    return Object.fromEntries(Object.keys(texts).map((name, at) => [name, contents[at]]));
  };
  const through = (matrix, point) =>
    matrix.slice(0, 3).map((row) => row[3] + point.reduce((sum, at, i) => sum + row[i] * at, 0));

  const state = { place: null, window: page.window, step: page.thresholds.indexOf(page.threshold) };
  const layers = { ct: 0 };
  let over = null;
  let curved = {};

  // NiiVue's options; what is not named is as NiiVue has it.
  const common = {
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
  const planes = new Niivue({
    ...common,
    crosshairGap: 6,
    crosshairWidth: 0.4,
    isRadiologicalConvention: true,
    sagittalNoseLeft: true,
    multiplanarShowRender: 0,
    multiplanarPadPixels: 4,
    sliceType: 3,
  });
  const solid = new Niivue({ ...common, sliceType: 4, show3Dcrosshair: true, crosshairWidth: 0.6 });

  const drawCT = () => {
    const ct = planes.volumes[layers.ct];
    [ct.cal_min, ct.cal_max] = state.window;
    planes.refreshLayers(ct, 0);
  };

  // 256 colours of a layer, of 4 bytes each; those that it does not show have no opacity.
  const none = [0, 0, 0, 0];
  const palette = (colourOf) =>
    Uint8Array.from(Array.from({ length: 256 }, (_, value) => colourOf(value)).flat());
  // Whether the map shows a value, in 255ths: volumes count the map itself, which is finer.
  const isHeat = (p) => p > 0 && p >= 255 * page.thresholds[state.step] - 0.5;
  const heatPalette = () =>
    palette((p) => (isHeat(p) ? page.colours[p] : [...page.colours[p].slice(0, 3), 0]));

  const loadPlanes = async () => {
    await planes.attachToCanvas(element("planes"));
    const files = await unpackAll(page.volumes);
    // Nothing is prepared or drawn before all of them are there; then NiiVue prepares the CT alone.
    const later = ["updateGLVolume", "drawScene"];
    for (const name of later) planes[name] = () => {};
    for (const name of ["ct", "probability", "uncertainty", "truth"]) {
      if (files[name]) {
        layers[name] = planes.volumes.length;
        await planes.loadFromArrayBuffer(files[name], `${name}.nii`);
      }
    }
    for (const name of later) delete planes[name];
    planes.volumes[layers.ct].colormap = "gray";
    drawCT();
    const names = Object.keys(layers).filter((name) => name !== "ct");
    over = new Layers(planes, names.map((name) => [name, planes.volumes[layers[name]]]));
    planes.onLocationChange = (location) => placed([...location.mm].slice(0, 3), location.values);
  };

  const loadSolid = async () => {
    await solid.attachToCanvas(element("solid"));
    const looks = {
      bone: { rgba255: [255, 244, 220, 255], opacity: 0.6 },
      "predicted fracture": { rgba255: [230, 20, 15, 255], opacity: 1 },
    };
    for (const [name, content] of Object.entries(await unpackAll(page.surfaces))) {
      const url = `${name}.ply`; // a name, since the content is here
      await solid.addMeshFromUrl({ url, name: url, buffer: content, ...looks[name] });
    }
    solid.setRenderAzimuthElevation(250, 10);
  };

  const drawCurved = () => {
    const [rows, columns] = page.grid.shape;
    const canvas = element("curved");
    Object.assign(canvas, { width: columns, height: rows });
    const context = canvas.getContext("2d");
    const image = context.createImageData(columns, rows);
    const [low, high] = state.window;
    const heat = isOn("heat") && heatPalette();
    const truth = isOn("truth") && curved.truth;
    const pixels = image.data.fill(255);
    for (let at = 0; at < rows * columns; at += 1) {
      const hu = page.hu.lowest + page.hu.step * curved.ct[at];
      const grey = (255 * (hu - low)) / (high - low);
      const entry = 4 * curved.probability[at];
      const alpha = heat ? heat[entry + 3] / 255 : 0;
      for (let i = 0; i < 3; i += 1) {
        const mixed = alpha ? heat[entry + i] * alpha + grey * (1 - alpha) : grey;
        pixels[4 * at + i] = truth && truth[at] ? page.truth_colour[i] : mixed;
      }
    }
    context.putImageData(image, 0, 0);
  };

  // The CT costs most to prepare, and seldom changes.
  const drawPlanes = (ctToo) => {
    if (ctToo) drawCT();
    const shown = [];
    if (isOn("heat")) {
      shown.push(["probability", heatPalette()]);
    }
    if (isOn("uncertainty")) {
      const viridis = planes.colormap("viridis");
      const colour = (share) => [...viridis.subarray(4 * share, 4 * share + 4)];
      // From a tenth of the highest on.
      const shareOf = (value) => Math.round((value - 25.5) / 0.9);
      shown.push(["uncertainty", palette((u) => (u > 25 ? colour(shareOf(u)) : none))]);
    }
    if (isOn("truth")) {
      shown.push(["truth", palette((t) => (t ? [...page.truth_colour, 255] : none))]);
    }
    over.show(shown);
    planes.drawScene();
  };

  const finished = (gl) =>
    new Promise((resolve) => {
      const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
      gl.flush();
      const look = () => {
        if (gl.clientWaitSync(fence, 0, 0) === gl.TIMEOUT_EXPIRED) setTimeout(look, 5);
        else resolve();
      };
      look();
    });

  // The picture along the spine and the volume follow at once; the planes as fast as the browser
  // can, always to where the slider stands by then.
  let [busy, again, ctWaits] = [false, false, false];
  const draw = async (ctToo) => {
    ctWaits ||= ctToo === true;
    element("at").textContent = page.thresholds[state.step].toFixed(3);
    element("ml").textContent = `${page.ml[state.step].toFixed(2)} mL`;
    element("threshold").value = state.step;
    drawCurved();
    again = true;
    if (busy || !state.ready) return;
    busy = true;
    document.body.dataset.ready = "no";
    while (again) {
      again = false;
      drawPlanes(ctWaits);
      ctWaits = false;
      await finished(planes.gl);
    }
    busy = false;
    document.body.dataset.ready = "yes";
  };

  // Shows a place, RAS+ mm, in the views that did not choose it.
  const placed = (mm, values) => {
    state.place = mm;
    const [d, h] = through(page.to_grid, mm);
    const [rows, columns] = page.grid.shape;
    document.querySelector(".curved .row").style.top = `${(100 * (rows - 0.5 - d)) / rows}%`;
    const across = (100 * (columns - 0.5 - h)) / columns;
    document.querySelector(".curved .column").style.left = `${across}%`;
    if (solid.meshes.length) {
      solid.scene.crosshairPos = solid.mm2frac(mm);
      solid.drawScene();
    }
    const voxel = through(page.from_mm, mm).map(Math.round).join(", ");
    const [hu, p] = [values[layers.ct].value, values[layers.probability].value];
    element("place").textContent = `i, j, k ${voxel} · ${Math.round(hu)} HU · p ${p.toFixed(2)}`;
  };
  const goTo = (mm) => {
    if (!state.ready) return;
    planes.scene.crosshairPos = planes.mm2frac(mm, 0, true);
    planes.drawScene();
    planes.createOnLocationChange();
  };

  const listen = () => {
    const slider = element("threshold");
    slider.max = page.thresholds.length - 1;
    slider.addEventListener("input", () => {
      state.step = Number(slider.value);
      draw();
    });
    element("model-threshold").addEventListener("click", () => {
      state.step = page.thresholds.indexOf(page.threshold);
      draw();
    });
    for (const id of ["heat", "truth", "uncertainty"]) element(id)?.addEventListener("change", draw);
    const windows = [...document.querySelectorAll("[data-window]")];
    for (const button of windows) {
      button.addEventListener("click", () => {
        state.window = button.dataset.window.split(" ").map(Number);
        for (const other of windows) other.setAttribute("aria-pressed", other === button);
        draw(true);
      });
    }
    for (const button of document.querySelectorAll("[data-mm]")) {
      (button.closest("tr") ?? button).addEventListener("click", () => {
        goTo(button.dataset.mm.split(" ").map(Number));
        if (!button.closest("#viewer")) element("viewer").scrollIntoView({ block: "start" });
      });
    }
    element("curved").addEventListener("pointerdown", (event) => {
      const box = element("curved").getBoundingClientRect();
      const [rows, columns] = page.grid.shape;
      const row = Math.min(rows - 1, Math.floor((rows * (event.clientY - box.top)) / box.height));
      const column = Math.floor((columns * (event.clientX - box.left)) / box.width);
      const index = [rows - 1 - row, columns - 1 - column, page.curved.columns[row]];
      goTo(through(page.grid.affine, index));
    });
    // Left on the screen is the patient's right, as radiologists hang pictures.
    const steps = {
      ArrowLeft: [1, 0, 0],
      ArrowRight: [-1, 0, 0],
      ArrowUp: [0, 0, 1],
      ArrowDown: [0, 0, -1],
      PageUp: [0, 1, 0],
      PageDown: [0, -1, 0],
    };
    const turns = { ArrowLeft: [-5, 0], ArrowRight: [5, 0], ArrowUp: [0, 5], ArrowDown: [0, -5] };
    const onKeys = (canvas, moves, act) =>
      canvas.addEventListener("keydown", (event) => {
        if (!moves[event.key]) return;
        event.preventDefault();
        act(moves[event.key]);
      });
    onKeys(element("planes"), steps, (by) => {
      planes.moveCrosshairInVox(...by);
      planes.createOnLocationChange();
    });
    onKeys(element("solid"), turns, ([round, up]) =>
      solid.setRenderAzimuthElevation(
        solid.scene.renderAzimuth + round,
        solid.scene.renderElevation + up,
      ),
    );
  };

  const start = async () => {
    const raw = await unpackAll(page.curved.layers);
    curved = Object.fromEntries(Object.entries(raw).map(([k, v]) => [k, new Uint8Array(v)]));
    listen();
    draw();
    try {
      await loadPlanes();
      state.ready = true;
      await draw();
      goTo(page.start);
      await new Promise(requestAnimationFrame); // the planes are seen before the next is prepared
      await loadSolid();
      goTo(state.place);
      document.body.dataset.solid = "yes";
    } catch (error) {
      element("no-webgl").hidden = false;
      element("pictures")?.setAttribute("open", "");
      document.body.classList.add("no-webgl");
      console.warn(error);
    }
  };
  window.viewers = { planes, solid };
  start();
}
