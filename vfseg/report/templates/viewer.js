// Joins the views of a page: NiiVue for the planes and in 3D, a canvas for the picture along the
// spine. One place, one threshold and one window hold for all of them. NiiVue, `Held` and `Layers`
// stand before this.
/* global Niivue, Held, Layers */
{
  const page = Held.content();
  const element = (id) => document.getElementById(id);
  const CLOSE_MM = 80; // from side to side: a vertebra and its neighbours
  const isOn = (id) => element(id)?.checked ?? false;

  const unpackAll = async (texts) => {
    const contents = await Promise.all(Object.values(texts).map(Held.unpack));
    return Object.fromEntries(Object.keys(texts).map((name, at) => [name, contents[at]]));
  };
  const bytesIn = (contents) =>
    Object.fromEntries(Object.entries(contents).map(([name, c]) => [name, new Uint8Array(c)]));

  const state = {
    place: null, // until the planes are ready: where a click wants them to begin
    window: page.window,
    step: page.thresholds.indexOf(page.threshold),
    ready: false, // the planes can be drawn
    solid: false, // so can the view in 3D
  };
  let over = null;
  let curved = {};

  const planes = new Niivue({ ...Held.VIEW, ...Held.PLANES });
  const solid = new Niivue({
    ...Held.VIEW,
    sliceType: 4,
    show3Dcrosshair: true,
    crosshairWidth: 0.6,
    isOrientCube: true,
  });
  // Of the looks that NiiVue has for meshes it makes only the first ready, the one that is used.
  for (const viewer of [planes, solid]) viewer.meshShaders.splice(1);

  // 256 colours of a layer, of 4 bytes each; those that it does not show have no opacity.
  const none = [0, 0, 0, 0];
  const palette = (colourOf) =>
    Uint8Array.from(Array.from({ length: 256 }, (_, value) => colourOf(value)).flat());
  // Whether the map shows a value, in 255ths: volumes count the map itself, which is finer.
  const isHeat = (p) => p > 0 && p >= 255 * page.thresholds[state.step] - 0.5;
  const heatPalette = () =>
    palette((p) => (isHeat(p) ? page.colours[p] : [...page.colours[p].slice(0, 3), 0]));

  // Name and palette of each layer that lies over the CT, the lowest first.
  const layers = () => {
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
    return shown;
  };

  // NiiVue draws a picture at every step of loading; here it draws none until all is there. Without
  // a graphics card one picture costs as much as several moves of the slider, which wait for it.
  const quietly = async (viewer, steps, load) => {
    for (const step of steps) viewer[step] = () => {};
    try {
      await load();
    } finally {
      for (const step of steps) delete viewer[step];
    }
  };

  const loadPlanes = async () => {
    const unpacking = unpackAll(page.volumes); // while the graphics card is made ready
    await planes.attachToCanvas(element("planes"));
    const { ct, ...others } = await unpacking;
    // NiiVue gets the CT alone, and prepares no layers.
    const load = () => planes.loadFromArrayBuffer(ct, "ct.nii");
    await quietly(planes, ["updateGLVolume", "drawScene"], load);
    over = new Layers(planes, bytesIn(others));
    planes.onLocationChange = (location) =>
      placed([...location.mm].slice(0, 3), location.values[0].value);
  };

  const loadSolid = async () => {
    await solid.attachToCanvas(element("solid"));
    const looks = {
      bone: { rgba255: [255, 244, 220, 255], opacity: 0.6 },
      "predicted fracture": { rgba255: [230, 20, 15, 255], opacity: 1 },
    };
    const surfaces = Object.entries(await unpackAll(page.surfaces));
    await quietly(solid, ["drawScene"], async () => {
      for (const [name, content] of surfaces) {
        const url = `${name}.ply`; // a name, since the content is here
        await solid.addMeshFromUrl({ url, name: url, buffer: content, ...looks[name] });
      }
      solid.setRenderAzimuthElevation(250, 10);
    });
    state.solid = surfaces.length > 0;
  };

  const drawCurved = () => {
    const [rows, columns] = page.grid.shape;
    const canvas = element("curved");
    Object.assign(canvas, { width: columns, height: rows });
    const context = canvas.getContext("2d");
    const image = context.createImageData(columns, rows);
    const [low, high] = state.window;
    const shown = layers().map(([name, colours]) => [curved[name], colours]);
    const pixels = image.data.fill(255);
    for (let at = 0; at < rows * columns; at += 1) {
      const hu = page.hu.lowest + page.hu.step * curved.ct[at];
      const grey = (255 * (hu - low)) / (high - low);
      for (let i = 0; i < 3; i += 1) {
        let mixed = grey;
        for (const [values, colours] of shown) {
          const alpha = colours[4 * values[at] + 3] / 255;
          if (alpha) mixed = colours[4 * values[at] + i] * alpha + mixed * (1 - alpha);
        }
        pixels[4 * at + i] = mixed;
      }
    }
    context.putImageData(image, 0, 0);
  };

  // The CT costs most to colour, and seldom changes.
  const drawPlanes = (ctToo) => {
    if (ctToo) over.showCT(state.window.map((hu) => (hu - page.hu.lowest) / page.hu.step));
    over.show(layers());
    planes.drawScene();
  };

  const finished = (gl) =>
    new Promise((resolve) => {
      const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
      gl.flush();
      const look = () => {
        // A browser that has stopped the graphics gives no fence.
        if (fence && gl.clientWaitSync(fence, 0, 0) === gl.TIMEOUT_EXPIRED) setTimeout(look, 5);
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
  const placed = (mm, hu) => {
    state.place = mm;
    const [d, h, w] = Held.through(page.to_grid, mm);
    const [rows, columns] = page.grid.shape;
    document.querySelector(".curved .row").style.top = `${(100 * (rows - 0.5 - d)) / rows}%`;
    const across = (100 * (columns - 0.5 - h)) / columns;
    document.querySelector(".curved .column").style.left = `${across}%`;
    if (state.solid) {
      solid.scene.crosshairPos = solid.mm2frac(mm);
      solid.drawScene();
    }
    const voxel = Held.through(page.from_mm, mm).map(Math.round).join(", ");
    const p = over.at("probability", [w, h, d]) / 255;
    element("place").textContent = `i, j, k ${voxel} · ${Math.round(hu)} HU · p ${p.toFixed(2)}`;
  };
  // Puts the cross into the middle of the planes, and these close to it.
  const bringClose = () => {
    const [, tall, wide] = page.grid.shape.map(
      (count, axis) => count * Math.hypot(...page.grid.affine.slice(0, 3).map((row) => row[axis])),
    );
    const zoom = isOn("close") ? Math.max(1, Math.min(tall, wide) / CLOSE_MM) : 1;
    const place = planes.frac2mm(planes.scene.crosshairPos);
    const middle = planes.frac2mm([0.5, 0.5, 0.5]);
    const pan = [0, 1, 2].map((axis) => (zoom > 1 ? middle[axis] - zoom * place[axis] : 0));
    planes.setPan2Dxyzmm([...pan, zoom]);
  };
  const goTo = (mm) => {
    if (!state.ready) {
      state.place = mm;
      return;
    }
    planes.scene.crosshairPos = planes.mm2frac(mm, 0, true);
    bringClose();
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
    element("close").addEventListener("change", () => state.ready && bringClose());
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
        if (!button.closest("#viewer")) element("viewer").scrollIntoView({ block: "nearest" });
      });
    }
    element("curved").addEventListener("pointerdown", (event) => {
      const box = element("curved").getBoundingClientRect();
      const [rows, columns] = page.grid.shape;
      const row = Math.min(rows - 1, Math.floor((rows * (event.clientY - box.top)) / box.height));
      const column = Math.floor((columns * (event.clientX - box.left)) / box.width);
      const index = [rows - 1 - row, columns - 1 - column, page.curved.columns[row]];
      goTo(Held.through(page.grid.affine, index));
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
      if (!state.ready) return;
      planes.moveCrosshairInVox(...by);
      bringClose();
      planes.createOnLocationChange();
    });
    onKeys(element("solid"), turns, ([round, up]) => {
      if (!state.solid) return;
      const { renderAzimuth, renderElevation } = solid.scene;
      solid.setRenderAzimuthElevation(renderAzimuth + round, renderElevation + up);
    });
  };

  // After the next picture of the page is seen.
  const seen = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));

  // Says that a browser does not start a view, or has stopped it, and shows the pictures.
  const giveUp = (what, why) => {
    element(what).hidden = false;
    element("pictures")?.setAttribute("open", "");
    document.body.classList.add(what);
    console.warn(why);
  };
  const onLost = (id, act) => element(id).addEventListener("webglcontextlost", act);
  onLost("planes", (event) => {
    state.ready = false;
    giveUp("no-webgl", event);
  });
  onLost("solid", (event) => {
    state.solid = false;
    giveUp("no-solid", event);
  });

  const start = async () => {
    try {
      curved = bytesIn(await unpackAll(page.curved.layers));
      listen();
      draw();
      await seen();
      document.body.dataset.along = "yes";
      await loadPlanes();
      state.ready = true;
      await draw(true);
      goTo(state.place ?? page.start);
      await seen(); // before the next is prepared
    } catch (error) {
      giveUp("no-webgl", error);
      return;
    }
    try {
      await loadSolid();
      planes.createOnLocationChange(); // puts the cross into it
      await Promise.all([planes, solid].map(({ gl }) => finished(gl)));
      document.body.dataset.solid = "yes"; // from now on nothing waits for what is still drawn
    } catch (error) {
      giveUp("no-solid", error);
    }
  };
  window.viewers = { planes, solid };
  start();
}
