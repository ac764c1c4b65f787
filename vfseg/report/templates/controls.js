// What a reader moves: threshold, window, layers, and places to go to. It stands in the middle of
// the page and acts at once, on the picture along the spine and the volume; on the planes as soon as
// the viewer, at the end of the page, has made them. `Held`, `Shown` and `Along` stand before this.
/* global Held, Shown, Along */
class Controls {
  #element = (id) => document.getElementById(id);

  constructor(page) {
    this.page = page;
    this.shown = new Shown(page);
    this.along = new Along(page, this.shown);
    this.place = page.start; // RAS+ mm: where the planes begin
    this.planes = null; // once they are ready: draw(ctToo), goTo(mm) and bringClose()
    this.ready = this.#start();
    this.ready.catch(() => {}); // the viewer waits for it, and says what failed
  }

  async #start() {
    this.#element("threshold").max = this.page.thresholds.length - 1;
    this.#listen();
    this.along.cross(this.place);
    await this.along.load();
    this.draw();
    await Held.seen();
    document.body.dataset.along = "yes";
  }

  draw(ctToo = false) {
    const { thresholds, ml } = this.page;
    const { step } = this.shown;
    this.#element("at").textContent = thresholds[step].toFixed(3);
    this.#element("ml").textContent = `${ml[step].toFixed(2)} mL`;
    this.#element("threshold").value = step;
    this.along.draw();
    this.planes?.draw(ctToo);
  }

  goTo(mm) {
    this.place = mm;
    this.along.cross(mm);
    this.planes?.goTo(mm);
  }

  #setStep(step) {
    this.shown.step = step;
    this.draw();
  }

  // All views where the screen has room for them, else the planes.
  #bringIntoView() {
    const views = document.querySelector(".views");
    const planes = views.querySelector(".planes");
    const fits = views.offsetHeight <= window.innerHeight || !planes.offsetHeight;
    (fits ? views : planes).scrollIntoView({ block: "nearest" });
  }

  #listen() {
    const slider = this.#element("threshold");
    slider.addEventListener("input", () => this.#setStep(Number(slider.value)));
    this.#element("model-threshold").addEventListener("click", () =>
      this.#setStep(this.page.thresholds.indexOf(this.page.threshold)),
    );
    for (const id of ["heat", "truth", "uncertainty"]) {
      this.#element(id)?.addEventListener("change", () => this.draw());
    }
    this.#element("close").addEventListener("change", () => this.planes?.bringClose());
    const windows = [...document.querySelectorAll("[data-window]")];
    for (const button of windows) {
      button.addEventListener("click", () => {
        this.shown.window = button.dataset.window.split(" ").map(Number);
        for (const other of windows) other.setAttribute("aria-pressed", other === button);
        this.draw(true);
      });
    }
    // What leads to a place, wherever it is on the page, also below this: a button, or its row.
    document.addEventListener("click", ({ target }) => {
      const button =
        target.closest("[data-mm]") ?? target.closest("tr")?.querySelector("[data-mm]");
      if (!button || !getSelection().isCollapsed) return; // text that is marked is no click
      this.goTo(button.dataset.mm.split(" ").map(Number));
      if (!button.closest("#viewer")) this.#bringIntoView();
    });
    this.along.canvas.addEventListener("click", (event) => this.goTo(this.along.at(event)));
  }
}
// oxlint-disable-next-line no-unused-vars -- the script behind this uses it
const controls = new Controls(Held.content("case"));
