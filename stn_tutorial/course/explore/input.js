// Take hold: handles that are dragged by mouse, pen and finger and moved by the arrow
// keys, and the controls beside a figure. Each is an element and a way to show what the
// state has become. Needs drawing.js.

(() => {
  const stn = (globalThis.stn = globalThis.stn || {});

  /**
   * Something that a reader moves.
   * @typedef {{element: HTMLElement, update: () => void}} Control
   */

  const ARROWS = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, -1],
    ArrowDown: [0, 1],
  };

  /**
   * A handle on a panel: a button that is dragged, or moved by the arrow keys (with
   * Shift in steps of a fifth).
   * @param {ReturnType<typeof stn.panel>} panel
   * @param {string} label for screen readers; where the handle is follows it
   * @param {{get: () => number[], move: (x: number, y: number) => void,
   *   step?: number | (() => number), style?: string, digits?: number,
   *   say?: (x: number, y: number) => string, grab?: () => void}} place in the panel's
   *   units; it is not left outside of the panel. `say` tells where it is, by default x
   *   and y; `grab` is called before a drag, and before each move by a key.
   * @returns {Control}
   */
  stn.handle = (panel, label, place) => {
    const { get, move, step = 0.05, style = "", digits = 2, say, grab } = place;
    const element = stn.element("button", { type: "button", class: "stn-handle" });
    if (style) element.classList.add(...style.split(" "));
    const [left, top, right, bottom] = panel.view;
    const within = (value, one, other) =>
      Math.min(Math.max(value, Math.min(one, other)), Math.max(one, other));
    // What a handle stands for may lie beyond the panel, and the handle at its edge. A
    // small move must not take it from there to the edge; from farther than a panel away
    // it comes back at once.
    const near = (value, one, other) => {
      const size = Math.abs(one - other);
      const at = within(value, one, other);
      return Math.abs(value - at) < size ? value : at;
    };
    const held = () => {
      const [x, y] = get();
      return [near(x, left, right), near(y, top, bottom)];
    };
    const go = (x, y) => {
      const [x0, y0] = held();
      const limited = (value, from, one, other) =>
        within(value, Math.min(from, one, other), Math.max(from, one, other));
      move(limited(x, x0, left, right), limited(y, y0, top, bottom));
    };
    const update = () => {
      const [x, y] = get();
      panel.put(element, within(x, left, right), within(y, top, bottom));
      const where = say
        ? say(x, y)
        : `x ${stn.number(x, digits)}, y ${stn.number(y, digits)}`;
      element.setAttribute("aria-label", `${label}: ${where}`);
    };
    let offset = null;
    element.addEventListener("pointerdown", (event) => {
      grab?.();
      const [x, y] = panel.at(event);
      const [x0, y0] = held();
      offset = [x0 - x, y0 - y]; // so that it does not jump to the pointer
      element.setPointerCapture(event.pointerId);
    });
    element.addEventListener("pointermove", (event) => {
      if (!offset) return;
      const [x, y] = panel.at(event);
      go(x + offset[0], y + offset[1]);
    });
    const release = () => (offset = null);
    element.addEventListener("pointerup", release);
    element.addEventListener("pointercancel", release);
    element.addEventListener("keydown", (event) => {
      const arrow = ARROWS[event.key];
      if (!arrow) return;
      event.preventDefault(); // the page does not scroll along
      grab?.();
      const whole = typeof step === "function" ? step() : step;
      const length = event.shiftKey ? whole / 5 : whole;
      const [x, y] = held();
      const down = bottom > top ? 1 : -1; // on axes, up is up
      go(x + length * arrow[0], y + down * length * arrow[1]);
    });
    return { element, update };
  };

  /**
   * Let a press anywhere on a panel, beside its handles, choose a point.
   * @param {ReturnType<typeof stn.panel>} panel
   * @param {(x: number, y: number) => void} choose in the panel's units
   */
  stn.aim = (panel, choose) => {
    panel.box.classList.add("stn-aim");
    panel.box.addEventListener("click", (event) => {
      if (!event.target.closest("button")) choose(...panel.at(event));
    });
  };

  /**
   * A slider with its value beside it.
   * @param {string} label
   * @param {{min: number, max: number, step: number, get: () => number,
   *   set: (value: number) => void, say?: (value: number) => string}} range what is said
   *   of a value, with its unit
   * @returns {Control}
   */
  stn.slider = (label, { min, max, step, get, set, say = String }) => {
    const input = stn.element("input", { type: "range", min, max, step });
    input.setAttribute("aria-label", label); // and not the value, which is said anyway
    const value = stn.element("span", { class: "stn-value" });
    const element = stn.element(
      "label",
      { class: "stn-slider" },
      stn.element("span", {}, label),
      input,
      value,
    );
    input.addEventListener("input", () => set(Number(input.value)));
    const update = () => {
      input.value = String(get());
      value.textContent = say(get());
      input.setAttribute("aria-valuetext", say(get()));
    };
    return { element, update };
  };

  /**
   * One of several: radio buttons that look like tabs.
   * @param {string} label of the group
   * @param {[value: any, words: string][]} options
   * @param {{get: () => any, set: (value: any) => void}} state
   * @returns {Control}
   */
  stn.choice = (label, options, { get, set }) => {
    // Counted where all figures of a page see it: a name that two share joins them.
    stn.groups = (stn.groups || 0) + 1;
    const name = `stn-choice-${stn.groups}`;
    const inputs = options.map(([value]) => {
      const input = stn.element("input", { type: "radio", name });
      input.addEventListener("change", () => set(value));
      return input;
    });
    const element = stn.element(
      "fieldset",
      { class: "stn-choice" },
      stn.element("legend", {}, label),
      ...options.map(([, words], k) => stn.element("label", {}, inputs[k], words)),
    );
    const update = () =>
      options.forEach(([value], k) => (inputs[k].checked = value === get()));
    return { element, update };
  };

  /**
   * On or off.
   * @param {string} label
   * @param {{get: () => boolean, set: (on: boolean) => void}} state
   * @returns {Control}
   */
  stn.toggle = (label, { get, set }) => {
    const input = stn.element("input", { type: "checkbox" });
    input.addEventListener("change", () => set(input.checked));
    const update = () => (input.checked = get());
    return {
      element: stn.element("label", { class: "stn-toggle" }, input, label),
      update,
    };
  };

  /**
   * A number that is typed; while it is none, nothing happens.
   * @param {string} label for screen readers
   * @param {{get: () => number, set: (value: number) => void, step?: number,
   *   style?: string, digits?: number}} state
   * @returns {Control}
   */
  stn.field = (label, { get, set, step = 0.05, style = "", digits = 2 }) => {
    const input = stn.element("input", { type: "number", step, class: style });
    input.setAttribute("aria-label", label);
    input.addEventListener("input", () => {
      const value = Number(input.value);
      if (input.value !== "" && Number.isFinite(value)) set(value);
    });
    input.addEventListener("keydown", ({ key }) => {
      // Escape sets the figure back, this number too, though it is being typed.
      if (key === "Escape") requestAnimationFrame(() => (input.value = said()));
    });
    const said = () => stn.plain(get(), digits);
    const update = () => {
      if (input !== document.activeElement) input.value = said();
    };
    return { element: input, update };
  };

  /**
   * A button.
   * @param {string} label
   * @param {() => void} press
   * @returns {Control}
   */
  stn.button = (label, press) => {
    const element = stn.element("button", { type: "button" }, label);
    element.addEventListener("click", press);
    return { element, update: () => {} };
  };

  /** Whether the reader asked for less motion. */
  stn.still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  /**
   * A button that plays, and pauses. For who asked for less motion, it goes to the end.
   * @param {string} label
   * @param {{step: (milliseconds: number) => boolean, finish: () => void}} film `step`
   *   goes on by the time that has passed, and says whether there is more to come
   * @returns {Control & {stop: () => void}}
   */
  stn.play = (label, { step, finish }) => {
    let frame = 0;
    const stop = () => {
      cancelAnimationFrame(frame);
      frame = 0;
      element.textContent = label;
    };
    const { element } = stn.button(label, () => {
      if (frame) return stop();
      if (stn.still()) return finish();
      element.textContent = "Pause";
      let before = performance.now();
      const tick = (now) => {
        // The first frame may have begun before the press.
        const more = element.isConnected && step(Math.max(now - before, 0));
        before = now;
        if (!more) return stop();
        frame = requestAnimationFrame(tick);
      };
      frame = requestAnimationFrame(tick);
    });
    return { element, update: () => {}, stop };
  };
})();
