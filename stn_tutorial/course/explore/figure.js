// What makes a figure of its parts: its state, its start on a page or in a live notebook,
// and what stands under each. Needs drawing.js and input.js.

(() => {
  const stn = (globalThis.stn = globalThis.stn || {});

  /**
   * What a figure shows, as named values; whoever listens is told of a change.
   * @typedef {{
   *   get: (name: string) => any,
   *   set: (changes: Object<string, any>) => void,
   *   all: () => Object<string, any>,
   *   onChange: (listener: () => void) => void,
   * }} Model
   */

  /** By name, what makes a figure: (root, model, data) => undefined. */
  stn.figures = stn.figures || {};

  /** A state of the page's own. */
  stn.pageModel = (state) => {
    const listeners = [];
    return {
      get: (name) => state[name],
      all: () => ({ ...state }),
      set: (changes) => {
        Object.assign(state, changes);
        listeners.forEach((listener) => listener());
      },
      onChange: (listener) => listeners.push(listener),
    };
  };

  /** A state that a kernel shares. */
  stn.widgetModel = (widget) => ({
    get: (name) => widget.get("state")[name],
    all: () => ({ ...widget.get("state") }),
    set: (changes) => {
      widget.set("state", { ...widget.get("state"), ...changes });
      widget.save_changes();
    },
    onChange: (listener) => widget.on("change:state", listener),
  });

  /**
   * Bring the figures of an id to life, each once.
   * @param {string} name of the kind of figure
   * @param {string} id of the elements that hold one
   * @param {{state: Object<string, any>, data: Object<string, any>}} payload
   */
  stn.start = (name, id, { state, data }) => {
    document.querySelectorAll(`[id="${id}"]:not([data-ready])`).forEach((root) => {
      root.dataset.ready = "yes";
      const live = root.querySelector(".stn-live");
      live.model = stn.pageModel({ ...state }); // for who looks in the console
      stn.figures[name](live, live.model, data);
      root.querySelector(".stn-still").hidden = true;
      live.hidden = false;
    });
  };

  /**
   * Show a figure in the output of a live notebook.
   * @param {string} name of the kind of figure
   * @param {any} widget anywidget's model
   * @param {HTMLElement} el
   */
  stn.show = (name, widget, el) => {
    const live = stn.element("div", { class: "stn-live" });
    const hint = stn.element("figcaption", {}, widget.get("hint"));
    // JupyterLab's shortcuts take arrow keys from whatever lacks this attribute.
    el.addEventListener("focusin", ({ target }) => {
      target.dataset.lmSuppressShortcuts = "true";
    });
    el.append(stn.element("figure", { class: "stn-explore" }, live, hint));
    stn.figures[name](live, stn.widgetModel(widget), widget.get("data"));
  };

  /**
   * Put a figure together: what it shows, its controls with a reset, its state as a line
   * of Python, and a sentence on what is seen. Escape resets as well.
   * @param {HTMLElement} root
   * @param {Model} model
   * @param {{
   *   body: HTMLElement[],
   *   controls?: any[],
   *   handles?: any[],
   *   draw?: () => void,
   *   code: () => string,
   *   status: () => string,
   *   rest?: Object<string, any> | (() => Object<string, any>),
   * }} figure `controls` stand under the body, `handles` are in it already; `rest` is the
   *   state after a reset, by default the one of the beginning, or says what changes then
   */
  stn.compose = (root, model, figure) => {
    const { body, controls = [], handles = [], draw = () => {} } = figure;
    const rest = figure.rest || structuredClone(model.all());
    const stop = () => [...controls, ...handles].forEach((part) => part.stop?.());
    const restart = () => {
      stop();
      model.set(structuredClone(typeof rest === "function" ? rest() : rest));
    };
    const reset = stn.button("Reset", restart);
    const line = stn.element("code");
    // A command that doesn't fit breaks after a bracket, comma or =, not in a number.
    const mayBreak = (part) => [part, stn.element("wbr")];
    const copy = stn.button("Copy", () => {
      navigator.clipboard?.writeText(line.textContent).then(
        () => (copy.element.textContent = "Copied"),
        () => getSelection()?.selectAllChildren(line),
      );
    });
    const status = stn.element("output", { class: "stn-status", "aria-live": "polite" });
    root.append(
      ...body,
      stn.element(
        "div",
        { class: "stn-controls" },
        ...controls.map((control) => control.element),
        reset.element,
      ),
      status,
      stn.element(
        "div",
        { class: "stn-code" },
        stn.element("pre", {}, line),
        copy.element,
      ),
    );
    root.addEventListener("keydown", (event) => {
      if (event.key === "Escape") restart();
    });
    // Who takes hold of a slider takes over from a film.
    root.addEventListener("input", ({ target }) => target.type === "range" && stop());
    const update = () => {
      draw();
      [...handles, ...controls].forEach((part) => part.update());
      line.replaceChildren(
        ...figure
          .code()
          .match(/[^([,=]*[([,=]|[^([,=]+$/g)
          .flatMap(mayBreak),
      );
      copy.element.textContent = "Copy";
      status.textContent = figure.status();
    };
    model.onChange(update);
    update();
  };

  /** Panels side by side, one below the other where the page is narrow. */
  stn.panels = (...panels) =>
    stn.element("div", { class: "stn-panels" }, ...panels.map((panel) => panel.element));
})();
