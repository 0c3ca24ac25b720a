// The playground: a digit, drawn or of the test set, is rotated, scaled, moved and
// cluttered, and two trained networks say what it is while one's frame can be seen.

(() => {
  const stn = globalThis.stn;
  const DIGIT = 28; // the side of a digit, in pixels
  const PICTURE = 42; // and of what the networks see
  const PIECE = 6; // and of a piece of clutter
  const VIEW = [-1.25, -1.25, 1.25, 1.25];
  const STEP = 5; // degrees between two frames of the film
  const ANGLES = Array.from({ length: 360 / STEP + 1 }, (_, k) => k * STEP - 180);
  const PACE = 70; // milliseconds that a frame is shown, at least
  const AT_ONCE = 12; // pictures that the networks answer together
  const CLASSES = [...Array(10).keys()];
  const NETWORKS = [
    ["st-cnn", "ST-CNN"],
    ["cnn", "plain CNN"],
  ];
  const BLACK = { width: 1, height: 1, pixels: [0] };

  /**
   * The warp of the package's RTS distortion, from the picture to the digit, both
   * normalized.
   * @param {number} angle in degrees, clockwise
   * @param {number} scale
   * @param {number[]} shift in pixels, to the right and down
   */
  stn.rtsTheta = (angle, scale, [right, down]) => {
    const turn = (angle * Math.PI) / 180;
    const zoom = PICTURE / DIGIT / scale;
    const [c, s] = [zoom * Math.cos(turn), zoom * Math.sin(turn)];
    const [x, y] = [(2 * right) / PICTURE, (2 * down) / PICTURE];
    return [c, s, -(c * x + s * y), -s, c, s * x - c * y];
  };

  /** Whole numbers below others, at random but always the same. */
  const dice = (seed) => (below) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };

  /** Lay pieces of other digits over a picture, as the package's clutter does. */
  const clutter = (picture, count, others) => {
    const draw = dice(2015);
    for (let n = 0; n < count; n++) {
      const other = others[draw(others.length)];
      const from = [draw(DIGIT - PIECE + 1), draw(DIGIT - PIECE + 1)];
      const to = [draw(PICTURE - PIECE + 1), draw(PICTURE - PIECE + 1)];
      for (let k = 0; k < PIECE * PIECE; k++) {
        const [i, j] = [k % PIECE, Math.floor(k / PIECE)];
        const value = other.pixels[(from[1] + j) * DIGIT + from[0] + i];
        const place = (to[1] + j) * PICTURE + to[0] + i;
        picture.pixels[place] = Math.max(picture.pixels[place], value);
      }
    }
  };

  stn.figures.playground = (root, model, data) => {
    const strip = stn.unpack(data.digits).pixels;
    const area = DIGIT * DIGIT;
    const tests = data.labels.map((_, k) => ({
      width: DIGIT,
      height: DIGIT,
      pixels: strip.slice(k * area, (k + 1) * area),
    }));
    const drawn = () => model.get("digit") < 0;
    const label = () => (drawn() ? null : data.labels[model.get("digit")]);

    // ------------------------------------------------------------------- the picture

    let written = { strokes: null, picture: null };
    const digit = () => {
      if (!drawn()) return tests[model.get("digit")];
      const strokes = model.get("strokes");
      if (written.strokes !== strokes) {
        written = { strokes, picture: stn.asMnist(strokes) };
      }
      return written.picture;
    };
    const pictureAt = (angle) => {
      const theta = stn.rtsTheta(angle, model.get("scale"), model.get("shift"));
      const size = [PICTURE, PICTURE];
      const picture = stn.sample(digit(), stn.grid(stn.affine, theta, size), size);
      const others = tests.filter((test) => test !== digit());
      clutter(picture, model.get("pieces"), others);
      return picture;
    };
    /** What a film is of: all but the angle. */
    const subject = () =>
      JSON.stringify(["digit", "strokes", "scale", "shift", "pieces"].map(model.get));
    /** What the networks were not trained on, in words. */
    const unknown = () => {
      const room = (PICTURE - DIGIT * model.get("scale")) / 2;
      const far = Math.max(...model.get("shift").map(Math.abs)) > Math.max(room, 0);
      const new_ = [
        [Math.abs(model.get("angle")) > 45, "rotations beyond 45°"],
        [model.get("scale") < 0.7 || model.get("scale") > 1.2, "this scale"],
        [far, "digits so far from the middle"],
        [model.get("pieces") > 0, "clutter"],
      ].flatMap(([is, words]) => (is ? [words] : []));
      return new_.length > 1
        ? `${new_.slice(0, -1).join(", ")} and ${new_[new_.length - 1]}`
        : new_.join("");
    };

    // ------------------------------------------------------------------ the networks

    let networks = null;
    let seen = null; // what the networks answered last
    let film = { subject: null, frames: new Map() };

    /** Ask both networks about pictures; an answer for each picture. */
    const ask = async (pictures) => {
      const images = new Float32Array(pictures.length * PICTURE * PICTURE);
      pictures.forEach(({ pixels }, n) => images.set(pixels, n * pixels.length));
      const size = [pictures.length, 1, PICTURE, PICTURE];
      const [first, second] = [
        await networks.run("st-cnn", "images", images, size),
        await networks.run("cnn", "images", images, size),
      ];
      const row = (all, n) => {
        const length = all.length / pictures.length;
        return all.slice(n * length, (n + 1) * length);
      };
      return pictures.map((_, n) => ({
        theta: [...row(first.theta, n)],
        warped: { width: DIGIT, height: DIGIT, pixels: row(first.warped, n) },
        scores: { "st-cnn": row(first.scores, n), cnn: row(second.scores, n) },
      }));
    };
    const says = (answer, name) => {
      const scores = answer.scores[name];
      const best = stn.largest(scores);
      return [best, stn.softmax(scores)[best]];
    };

    let [asked, busy, current] = [null, false, null];
    /** Have the picture answered; of several that come meanwhile, the last. */
    const answer = async () => {
      const wanted = `${subject()} ${model.get("angle")}`;
      if (!networks || busy || asked === wanted) return;
      asked = wanted;
      busy = true;
      const about = { subject: subject(), angle: model.get("angle") };
      const [found] = await ask([pictureAt(about.angle)]);
      busy = false;
      seen = found;
      keep(about, [[about.angle, found]]);
      model.set({}); // shows it, and asks again if the picture is another by now
    };
    /** Put answers into the film, if it is still of the same. */
    const keep = (about, answers) => {
      if (film.subject !== about.subject) return;
      answers.forEach(([angle, found]) => film.frames.set(angle, found));
    };

    // -------------------------------------------------------------------- the panels

    const pad = stn.pad("draw a digit here", {
      get: () => (drawn() ? model.get("strokes") : []),
      set: (strokes) => model.set({ digit: -1, strokes }),
      under: () => (drawn() ? BLACK : digit()),
    });
    const input = stn.panel(VIEW, "42×42 input, and the frame");
    const picture = input.canvas(-1, -1, 1, 1);
    picture.classList.add("stn-in");
    const frame = stn.frame(input);
    const output = stn.panel([-1, -1, 1, 1], "28×28, seen by the ST-CNN");
    const warped = output.canvas();
    warped.classList.add("stn-out");
    [input, output].forEach(({ element }) => element.classList.add("stn-small"));
    const panels = stn.panels(pad, input, output);
    panels.classList.add("stn-play-three");

    const entries = [..."abcdef"].map((_, k) =>
      stn.element("span", { class: ["stn-first", "stn-second", "stn-third"][k % 3] }),
    );
    const place = stn.element("p", { class: "stn-caption" });
    /** The frame in the units of the sliders. */
    const placed = ([a, b, right, d, e, down]) => {
      const angle = (Math.atan2(d - b, a + e) * 180) / Math.PI;
      const side = Math.sqrt(Math.abs(a * e - b * d));
      const [x, y] = [right, down].map((way) => stn.number((way * PICTURE) / 2, 1));
      return (
        `The frame: rotated by ${stn.number(angle, 0)}°, ${stn.number(side)} of the ` +
        `input's side, its middle ${x} px to the right and ${y} px down.`
      );
    };
    const theta = stn.element(
      "div",
      { class: "stn-play-theta" },
      stn.element("p", { class: "stn-caption" }, "theta, predicted"),
      stn.element("div", { class: "stn-numbers" }, ...entries),
      place,
    );

    // ------------------------------------------------------------------- the answers

    const bars = CLASSES.map(() =>
      NETWORKS.map(() => ({
        bar: stn.element("div", { class: "stn-play-bar" }),
        words: stn.element("span"),
      })),
    );
    const rows = CLASSES.map((k) =>
      stn.element(
        "tr",
        {},
        stn.element("th", { scope: "row" }, String(k)),
        ...bars[k].map(({ bar, words }) => stn.element("td", {}, bar, words)),
      ),
    );
    const answers = stn.element(
      "table",
      { class: "stn-play-table" },
      stn.element("caption", {}, "probabilities of the ten digits"),
      stn.element(
        "thead",
        {},
        stn.element(
          "tr",
          {},
          stn.element("th", { scope: "col" }, "digit"),
          ...NETWORKS.map(([, name]) => stn.element("th", { scope: "col" }, name)),
        ),
      ),
      stn.element("tbody", {}, ...rows),
    );
    const showAnswers = () => {
      NETWORKS.forEach(([name], n) => {
        const parts = seen ? stn.softmax(seen.scores[name]) : CLASSES.map(() => 0);
        const best = stn.largest(parts);
        CLASSES.forEach((k) => {
          const { bar, words } = bars[k][n];
          bar.style.width = `${100 * parts[k]}%`;
          bar.classList.toggle("stn-play-best", seen !== null && k === best);
          words.textContent = seen ? `${stn.number(100 * parts[k], 0)} %` : "";
        });
      });
      rows.forEach((row, k) => {
        if (k === label()) row.setAttribute("aria-current", "true");
        else row.removeAttribute("aria-current");
      });
    };

    // ---------------------------------------------------------------------- the film

    const plots = NETWORKS.map(([name, words]) => {
      const panel = stn.axes([-180, 1.04, 180, -0.04], {
        x: "rotation, degrees",
        y: `${words}, probability`,
        xTicks: [-180, -90, -45, 0, 45, 90, 180],
        yTicks: [0, 0.5, 1],
        digits: 0,
        ratio: 1.7,
      });
      panel.box.querySelectorAll(".stn-tick-y")[1].textContent = "0.5";
      panel.path("stn-play-band", "M-45 -0.04H45V1.04H-45Z");
      const now = panel.path("stn-play-now");
      const lines = CLASSES.map(() => panel.path("stn-play-line"));
      const names = CLASSES.map((k) => panel.text(String(k), 0, 0, "stn-play-name"));
      return { name, panel, now, lines, names };
    });
    const showFilm = () => {
      if (film.subject !== subject()) film = { subject: subject(), frames: new Map() };
      const now = model.get("angle");
      for (const { name, panel, now: marker, lines, names } of plots) {
        marker.setAttribute("d", `M${now} -0.04V1.04`);
        const shown = ANGLES.filter((angle) => film.frames.has(angle));
        const parts = shown.map((angle) =>
          stn.softmax(film.frames.get(angle).scores[name]),
        );
        const best = seen ? says(seen, name)[0] : -1;
        CLASSES.forEach((k) => {
          const points = ANGLES.map((angle) => {
            const n = shown.indexOf(angle);
            return n < 0 ? [NaN, NaN] : [angle, parts[n][k]];
          });
          lines[k].setAttribute("d", stn.path(points));
          lines[k].classList.toggle("stn-play-best", k === best);
          const peak = stn.largest(parts.map((part) => part[k]));
          const worth = shown.length > 1 && peak >= 0 && parts[peak][k] > 0.4;
          names[k].hidden = !worth;
          names[k].classList.toggle("stn-play-best", k === best);
          if (worth)
            panel.put(names[k], shown[peak], Math.max(parts[peak][k] - 0.1, 0.1));
        });
      }
      tell.textContent = told();
    };
    const tell = stn.element("p", { class: "stn-play-told", "aria-live": "polite" });
    const told = () => {
      const full = ANGLES.slice(1).every((angle) => film.frames.has(angle));
      if (!full) {
        return networks
          ? "What do the answers do while the digit goes round? The band is what the " +
              "networks were trained on."
          : "Once the networks are there, the digit can be rotated through 360° here.";
      }
      const wanted = label() ?? (seen ? says(seen, "st-cnn")[0] : 0);
      const counts = NETWORKS.map(([name, words]) => {
        const right = ANGLES.slice(1).filter(
          (angle) => says(film.frames.get(angle), name)[0] === wanted,
        );
        const degrees = (360 * right.length) / (ANGLES.length - 1);
        return `the ${words} over ${stn.number(degrees, 0)}°`;
      });
      return `Of 360°, ${counts.join(", ")} say ${wanted}.`;
    };
    const allAtOnce = async () => {
      const about = { subject: subject() };
      for (let n = 0; n < ANGLES.length; n += AT_ONCE) {
        const angles = ANGLES.slice(n, n + AT_ONCE);
        const found = await ask(angles.map(pictureAt));
        if (subject() !== about.subject) return; // it was of another picture
        keep(
          about,
          found.map((each, k) => [angles[k], each]),
        );
        model.set({});
      }
    };
    let reel = null; // where the film is, while it plays
    const play = stn.play("Play the rotation", {
      step: (milliseconds) => {
        const angle = model.get("angle");
        reel = reel || { next: 0, waited: PACE, last: angle, before: angle };
        reel.waited += milliseconds;
        if (busy || reel.waited < PACE) return true;
        const more = reel.next < ANGLES.length && angle === reel.last;
        if (more) {
          reel.last = ANGLES[reel.next];
          reel.next += 1;
          reel.waited = 0;
          model.set({ angle: reel.last });
          return true;
        }
        const { last, before } = reel;
        reel = null;
        if (angle === last) model.set({ angle: before }); // the reader chose no other
        return false;
      },
      finish: allAtOnce,
    });
    play.element.addEventListener("click", () => {
      if (reel && reel.last !== model.get("angle")) reel = null; // from the beginning
    });
    const once = stn.button("All angles at once", allAtOnce);
    const filmButtons = [play, once];

    // ------------------------------------------------------------------ the controls

    const choose = (step) => {
      const count = tests.length;
      const from = drawn() ? (step > 0 ? -1 : 0) : model.get("digit");
      model.set({ digit: (from + step + count) % count, strokes: [] });
    };
    const source = [
      stn.button("Clear", () => model.set({ digit: -1, strokes: [] })),
      stn.button("Previous digit", () => choose(-1)),
      stn.button("Next digit", () => choose(1)),
    ];
    const pixels = (value) => `${stn.number(value, 0)} px`;
    const shift = (axis) => ({
      min: -14,
      max: 14,
      step: 1,
      get: () => model.get("shift")[axis],
      set: (value) =>
        model.set({
          shift: model.get("shift").map((old, k) => (k === axis ? value : old)),
        }),
      say: pixels,
    });
    const value = (name) => ({
      get: () => model.get(name),
      set: (to) => model.set({ [name]: to }),
    });
    const sliders = [
      stn.slider("rotation", {
        ...{ min: -180, max: 180, step: 5, ...value("angle") },
        say: (angle) => `${stn.number(angle, 0)}°`,
      }),
      stn.slider("scale", {
        ...{ min: 0.5, max: 1.5, step: 0.05, ...value("scale") },
        say: (scale) => stn.number(scale),
      }),
      stn.slider("to the right", shift(0)),
      stn.slider("down", shift(1)),
      stn.slider("clutter", {
        ...{ min: 0, max: 16, step: 1, ...value("pieces") },
        say: (count) => `${count} ${count === 1 ? "piece" : "pieces"}`,
      }),
    ];

    const loader = stn.loader(data.runtime, (loaded) => {
      networks = loaded;
      root.networks = loaded; // for who looks in the console
      model.set({});
    });

    // -------------------------------------------------------------------- all of it

    const draw = () => {
      stn.paint(picture, pictureAt(model.get("angle")));
      const known = seen !== null;
      frame(known ? seen.theta : null);
      stn.paint(warped, known ? seen.warped : BLACK);
      entries.forEach((entry, k) => {
        entry.textContent = known ? stn.number(seen.theta[k]) : "–";
      });
      place.textContent = known ? placed(seen.theta) : "";
      showAnswers();
      showFilm();
      filmButtons.forEach(({ element }) => (element.disabled = !networks));
      if (!busy) current = answer();
    };
    /** Wait until what is shown is answered. */
    root.settled = async () => {
      do await current;
      while (busy);
    };

    const group = (style, ...children) =>
      stn.element("div", { class: style }, ...children);
    stn.compose(root, model, {
      body: [
        panels,
        group("stn-controls", ...source.map(({ element }) => element)),
        loader.element,
        group(
          "stn-panels stn-play-two",
          group("stn-play-sliders", ...sliders.map(({ element }) => element), theta),
          answers,
        ),
        group("stn-panels stn-play-two", ...plots.map(({ panel }) => panel.element)),
        tell,
      ],
      controls: filmButtons,
      handles: [pad, ...source, ...sliders],
      draw,
      code: () => {
        const [right, down] = model.get("shift");
        const turn = `math.radians(${model.get("angle")})`;
        const move = `(${7 + right}, ${7 + down})`;
        const scale = stn.plain(model.get("scale"));
        return (
          `theta = theta_from_pixels(rotation(${turn}, ${scale}, ${move}, ` +
          `center=(13.5, 13.5)), (28, 28), (42, 42))`
        );
      },
      status: () => {
        const what = drawn() ? "Your drawing" : `Test digit, a ${label()}`;
        const without = unknown();
        const warning = without
          ? ` Neither network was trained on ${without}.`
          : " Both networks were trained on such distortions.";
        if (drawn() && !model.get("strokes").length) return "The pad is empty.";
        if (!seen) return `${what}.${warning}`;
        const [one, other] = NETWORKS.map(([name, words]) => {
          const [best, part] = says(seen, name);
          return `${words} says ${best} (${stn.number(100 * part, 0)} %)`;
        });
        return `${what}: ${one}, ${other}.${warning}`;
      },
    });
  };
})();
