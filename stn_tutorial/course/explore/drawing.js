// Draw: elements, pictures, paths, and panels with coordinates of their own.

(() => {
  const stn = (globalThis.stn = globalThis.stn || {});

  /**
   * A part of a plane that a panel shows, in the panel's own units.
   * @typedef {[left: number, top: number, right: number, bottom: number]} View
   */

  /**
   * Make an element with attributes and children.
   * @param {string} tag
   * @param {Object<string, any>} [attributes]
   * @param {...(Node | string)} children
   * @returns {any}
   */
  stn.element = (tag, attributes = {}, ...children) => {
    const made = ["svg", "g", "path"].includes(tag)
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

  /**
   * The colours of values: each takes a value to red, green and blue, from 0 to 255.
   * `grey` is for values from 0 to 1; `signed` for -1 to 1, blue below and orange above.
   */
  stn.colours = {
    grey: (value) => [255 * value, 255 * value, 255 * value],
    signed: (value) => {
      const far = Math.min(Math.abs(value), 1);
      const end = value < 0 ? [0, 114, 178] : [213, 94, 0];
      return end.map((channel) => 255 + far * (channel - 255));
    },
  };

  /**
   * Paint a picture on a canvas of its size. A colour is red, green and blue, and if it
   * lets something through, how much it covers, all from 0 to 255.
   * @param {HTMLCanvasElement} canvas
   * @param {{width: number, height: number, pixels: ArrayLike<number>}} picture
   * @param {(value: number) => number[]} [colour]
   */
  stn.paint = (canvas, { width, height, pixels }, colour = stn.colours.grey) => {
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    for (let k = 0; k < pixels.length; k++) {
      const [red, green, blue, alpha = 255] = colour(pixels[k]);
      image.data[4 * k] = red;
      image.data[4 * k + 1] = green;
      image.data[4 * k + 2] = blue;
      image.data[4 * k + 3] = alpha;
    }
    context.putImageData(image, 0, 0);
  };

  /** A number with two digits behind the point, or as many as said, and a true minus. */
  stn.number = (value, digits = 2) => stn.plain(value, digits).replace("-", "\u2212");

  /** A number as code has it: the same, with a hyphen for a minus. */
  stn.plain = (value, digits = 2) => {
    const text = value.toFixed(digits);
    return Number(text) === 0 ? text.replace("-", "") : text;
  };

  /** An angle in degrees as one from -180 to 180. */
  stn.wrapped = (degrees) => degrees - 360 * Math.round(degrees / 360);

  /**
   * What an SVG path says for a line through points; a point that is not finite
   * interrupts it.
   * @param {number[][]} points
   * @param {boolean} [close]
   */
  stn.path = (points, close = false) => {
    let pen = "M";
    let said = "";
    for (const [x, y] of points) {
      if (!Number.isFinite(x) || !Number.isFinite(y)) {
        pen = "M";
        continue;
      }
      said += `${pen}${x.toFixed(4)} ${y.toFixed(4)}`;
      pen = "L";
    }
    return said + (close ? "Z" : "");
  };

  /** What an SVG path says for dots, which are as large as its stroke is wide. */
  stn.dots = (points) =>
    points
      .filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y))
      .map(([x, y]) => `M${x.toFixed(4)} ${y.toFixed(4)}h0`)
      .join("");

  /**
   * What an SVG path says for an arrow; nothing if it is shorter than its head, or not
   * finite. Both axes of the panel must have the same unit.
   * @param {number[]} from
   * @param {number[]} to
   * @param {number} head how long the head is
   */
  stn.arrow = ([x0, y0], [x1, y1], head) => {
    const length = Math.hypot(x1 - x0, y1 - y0);
    if (!(length > head)) return "";
    const [x, y] = [(head * (x1 - x0)) / length, (head * (y1 - y0)) / length];
    const wings = [-0.5, 0.5].map((side) => [x1 - x + side * y, y1 - y - side * x]);
    return (
      stn.path([
        [x0, y0],
        [x1, y1],
      ]) + stn.path([wings[0], [x1, y1], wings[1]])
    );
  };

  /**
   * Names for things at heights, in groups of those that are nearer than a gap: as labels
   * at the ends of curves, which may lie over one another.
   * @param {string[]} names
   * @param {number[]} heights
   * @param {number} gap
   * @returns {{height: number, names: string[]}[]} from below; names keep their order
   */
  stn.labels = (names, heights, gap) => {
    const order = names.map((_, k) => k).sort((a, b) => heights[a] - heights[b]);
    const groups = [];
    for (const k of order) {
      const last = groups.at(-1);
      if (last && heights[k] - last.height < gap) last.names.push(names[k]);
      else groups.push({ height: heights[k], names: [names[k]] });
    }
    for (const group of groups) {
      group.names.sort((a, b) => names.indexOf(a) - names.indexOf(b));
    }
    return groups;
  };

  /**
   * A panel: a box on the page that shows a part of a plane, with pictures and paths in
   * its units. Strokes are as wide as the style sheet says, in pixels of the screen.
   * @param {View} view
   * @param {string} [caption] stands above it
   */
  stn.panel = ([left, top, right, bottom], caption) => {
    const [width, height] = [right - left, bottom - top];
    const svg = stn.element("svg", {
      viewBox: [
        ...[Math.min(left, right), Math.min(top, bottom)],
        ...[Math.abs(width), Math.abs(height)],
      ].join(" "),
      preserveAspectRatio: "none",
      "aria-hidden": "true",
    });
    // Where y increases upward, what is drawn is flipped; likewise x.
    const drawing = stn.element("g", {
      transform:
        `matrix(${Math.sign(width)} 0 0 ${Math.sign(height)} ` +
        `${width < 0 ? left + right : 0} ${height < 0 ? top + bottom : 0})`,
    });
    svg.append(drawing);
    const box = stn.element("div", { class: "stn-panel" }, svg);
    box.style.aspectRatio = `${Math.abs(width)} / ${Math.abs(height)}`;
    const percent = (x, y) => [
      `${(100 * (x - left)) / width}%`,
      `${(100 * (y - top)) / height}%`,
    ];
    const element = stn.element("div", { class: "stn-figure-part" });
    if (caption) element.append(stn.element("p", { class: "stn-caption" }, caption));
    element.append(box);
    return {
      element,
      box,
      svg,
      view: [left, top, right, bottom],

      /** Put an element where a point of the plane is. */
      put: (child, x, y) => {
        [child.style.left, child.style.top] = percent(x, y);
        if (child.parentNode !== box) box.append(child);
        return child;
      },

      /** Where on the plane a pointer is. */
      at: ({ clientX, clientY }) => {
        const seen = box.getBoundingClientRect();
        return [
          left + (width * (clientX - seen.left)) / seen.width,
          top + (height * (clientY - seen.top)) / seen.height,
        ];
      },

      /** A canvas that covers a part of the plane; all of it by default. */
      canvas: (x0 = left, y0 = top, x1 = right, y1 = bottom) => {
        const canvas = stn.element("canvas", { class: "stn-picture" });
        box.insertBefore(canvas, svg);
        [canvas.style.left, canvas.style.top] = percent(x0, y0);
        canvas.style.width = `${(100 * (x1 - x0)) / width}%`;
        canvas.style.height = `${(100 * (y1 - y0)) / height}%`;
        return canvas;
      },

      /** A path, to be given its `d` later, or now. */
      path: (style, d = "") => {
        const path = stn.element("path", { class: style, d });
        drawing.append(path);
        return path;
      },

      /** Words with their middle at a point of the plane. */
      text: (words, x, y, style = "") => {
        const text = stn.element("span", { class: `stn-text ${style}` }, words);
        [text.style.left, text.style.top] = percent(x, y);
        box.append(text);
        return text;
      },
    };
  };

  /**
   * The outline of an output on a panel of its input; the output's upper edge is thick.
   * Needs families.js.
   * @returns {(theta: number[] | null) => void} shows it where an affine warp takes it,
   *   or hides it
   */
  stn.frame = (panel) => {
    const outline = panel.path("stn-frame");
    const top = panel.path("stn-frame stn-thick");
    return (theta) => {
      const seen = theta ? stn.corners.map(([x, y]) => stn.affine.at(theta, x, y)) : [];
      outline.setAttribute("d", theta ? stn.path(seen, true) : "");
      top.setAttribute("d", stn.path(seen.slice(0, 2)));
    };
  };

  /**
   * A digit with the frame of a transformer, and below it the 28×28 that it samples.
   * Needs families.js and sampling.js.
   */
  stn.framedDigit = () => {
    const input = stn.panel([-1.3, -1.3, 1.3, 1.3]);
    const output = stn.panel([-1, -1, 1, 1]);
    const [picture, canvas] = [input.canvas(-1, -1, 1, 1), output.canvas()];
    const frame = stn.frame(input);
    const size = [28, 28];
    return {
      element: stn.element("div", {}, input.box, output.box),
      paint: (image) => stn.paint(picture, image),
      show: (image, theta, reading) => {
        frame(theta);
        const grid = stn.grid(stn.affine, theta, size);
        stn.paint(canvas, stn.sample(image, grid, size, reading));
      },
    };
  };

  /**
   * A panel with axes: x to the right and y up, with ticks and their numbers.
   * @param {View} view as seen: left, upper, right, lower end
   * @param {{x: string, y: string, xTicks: number[], yTicks: number[], ratio?: number,
   *   caption?: string, digits?: number, xDigits?: number}} axes names of the axes, ticks,
   *   width over height, and how many digits the numbers have, those of x if others
   */
  stn.axes = (view, axes) => {
    const { x, y, xTicks, yTicks, ratio = 1.6, caption, digits = 0 } = axes;
    const { xDigits = digits } = axes;
    const panel = stn.panel(view, caption);
    const [left, top, right, bottom] = view;
    panel.box.style.aspectRatio = `${ratio}`;
    panel.element.classList.add("stn-axes");
    const lines = [
      ...xTicks.map((t) => `M${t} ${bottom}V${top}`),
      ...yTicks.map((t) => `M${left} ${t}H${right}`),
    ];
    panel.path("stn-rule", lines.join(""));
    const ticks = [
      ...xTicks.map((t) => panel.text(stn.number(t, xDigits), t, bottom, "stn-tick-x")),
      ...yTicks.map((t) => panel.text(stn.number(t, digits), left, t, "stn-tick-y")),
    ];
    ticks.forEach((tick) => tick.setAttribute("aria-hidden", "true")); // mere numbers
    panel.box.before(stn.element("p", { class: "stn-axis" }, y));
    panel.element.append(stn.element("p", { class: "stn-axis stn-axis-x" }, x));
    return panel;
  };
})();
