// What all figures that answer to the hand share: starting, painting, and handles that
// are dragged by mouse, pen and finger and moved by the arrow keys.

(() => {
  const stn = (globalThis.stn = globalThis.stn || {});

  /** By name, what makes a figure: (root, model, data) => undefined. */
  stn.figures = stn.figures || {};

  /**
   * What a figure shows, as named values; whoever listens is told of a change.
   * @param {Object<string, any>} state
   */
  stn.makeModel = (state) => {
    const listeners = [];
    return {
      get: (name) => state[name],
      set: (changes) => {
        Object.assign(state, changes);
        listeners.forEach((listener) => listener());
      },
      onChange: (listener) => listeners.push(listener),
    };
  };

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
      stn.figures[name](live, stn.makeModel({ ...state }), data);
      root.querySelector(".stn-still").hidden = true;
      live.hidden = false;
    });
  };

  /**
   * Make an element with attributes and children.
   * @param {string} tag
   * @param {Object<string, any>} [attributes]
   * @param {...(Node | string)} children
   */
  stn.element = (tag, attributes = {}, ...children) => {
    const svg = ["svg", "path", "circle", "g"].includes(tag);
    const made = svg
      ? document.createElementNS("http://www.w3.org/2000/svg", tag)
      : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  };

  /**
   * An image that came as base64, one byte a pixel.
   * @param {{width: number, height: number, bytes: string}} packed
   */
  stn.unpack = ({ width, height, bytes }) => {
    const text = atob(bytes);
    const pixels = new Float32Array(text.length);
    for (let k = 0; k < text.length; k++) pixels[k] = text.charCodeAt(k) / 255;
    return { width, height, pixels };
  };

  /** Paint a picture with values from 0 to 1 on a canvas of its size, in grey. */
  stn.paint = (canvas, { width, height, pixels }) => {
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    for (let k = 0; k < pixels.length; k++) {
      const value = 255 * pixels[k];
      image.data.set([value, value, value, 255], 4 * k);
    }
    context.putImageData(image, 0, 0);
  };

  /** A number with two digits behind the point, and a true minus. */
  stn.number = (value) => {
    const text = (Math.abs(value) < 0.005 ? 0 : value).toFixed(2);
    return text.replace("-", "\u2212");
  };

  /**
   * A handle on a panel: a button that is dragged, or moved by the arrow keys (with
   * Shift in fine steps).
   * @param {HTMLElement} panel its coordinates run from -reach to reach in both axes
   * @param {number} reach
   * @param {string} label for screen readers
   * @param {{get: () => [number, number], move: (x: number, y: number) => void}} place
   * @returns {{element: HTMLElement, update: () => void}}
   */
  stn.handle = (panel, reach, label, { get, move }) => {
    const button = stn.element("button", { type: "button", class: "stn-handle" });
    const update = () => {
      const [x, y] = get();
      button.style.left = `${50 + (50 * x) / reach}%`;
      button.style.top = `${50 + (50 * y) / reach}%`;
      button.setAttribute("aria-label", `${label}: x ${stn.number(x)}, y ${stn.number(y)}`);
    };
    let offset = null;
    const at = (event) => {
      const box = panel.getBoundingClientRect();
      const x = reach * ((2 * (event.clientX - box.left)) / box.width - 1);
      const y = reach * ((2 * (event.clientY - box.top)) / box.height - 1);
      return [x, y];
    };
    button.addEventListener("pointerdown", (event) => {
      const [x, y] = at(event);
      const [left, top] = get();
      offset = [left - x, top - y]; // so that it does not jump to the pointer
      button.setPointerCapture(event.pointerId);
    });
    button.addEventListener("pointermove", (event) => {
      if (!offset) return;
      const [x, y] = at(event);
      move(x + offset[0], y + offset[1]);
    });
    const release = () => (offset = null);
    button.addEventListener("pointerup", release);
    button.addEventListener("pointercancel", release);
    button.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
      Object.assign(steps, { ArrowUp: [0, -1], ArrowDown: [0, 1] });
      const step = steps[event.key];
      if (!step) return;
      event.preventDefault(); // the page does not scroll along
      const length = event.shiftKey ? 0.01 : 0.05;
      const [x, y] = get();
      move(x + length * step[0], y + length * step[1]);
    });
    panel.append(button);
    return { element: button, update };
  };
})();
