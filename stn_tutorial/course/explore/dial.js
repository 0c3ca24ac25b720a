// The dial: a digit is rotated by hand, and two networks say by how much. What they
// answer was recorded, a degree apart. Zero degrees are up, and clockwise is positive.

(() => {
  const stn = globalThis.stn;
  const FIRST = -180; // the angle of the first recorded answer
  const RADIUS = 1;
  const HALF = 0.68; // of the picture's side: its corners are inside of the dial
  const TICKS = [-180, -90, 0, 90, 180];

  const toDegrees = (radians) => (radians * 180) / Math.PI;

  /** Where an angle is on the dial. */
  const onDial = (degrees, radius = RADIUS) => {
    const angle = (degrees * Math.PI) / 180;
    return [radius * Math.sin(angle), -radius * Math.cos(angle)];
  };

  /** The degrees between two angles, on the shorter way round. */
  const between = (one, other) => {
    const ahead = (((one - other) % 360) + 360) % 360;
    return Math.min(ahead, 360 - ahead);
  };

  stn.figures.dial = (root, model, data) => {
    const digits = data.digits.map((digit) => ({
      ...digit,
      image: stn.unpack(digit.image),
      answers: digit.radians.map((radians, k) => {
        const [a, b] = [digit.cosines[k], digit.sines[k]];
        return {
          radians: toDegrees(radians),
          vector: toDegrees(Math.atan2(b, a)),
          length: Math.hypot(a, b),
        };
      }),
    }));
    const digit = () => digits[model.get("digit")];
    const angle = () => model.get("angle");
    const answer = () => digit().answers[angle() - FIRST];
    const setAngle = (degrees) =>
      model.set({ angle: Math.max(-180, Math.min(180, Math.round(degrees))) });

    const inDegrees = () => `${stn.number(angle(), 0)}°`;

    const dial = stn.panel([-1.42, -1.42, 1.42, 1.42], "the digit, and two answers");
    dial.element.classList.add("stn-dial");
    const picture = dial.canvas(-HALF, -HALF, HALF, HALF);
    const circle = Array.from({ length: 121 }, (_, k) => onDial(3 * k));
    dial.path("stn-rule", stn.path(circle));
    dial.path("stn-dial-seam", stn.path([onDial(180, 0.88), onDial(180, 1.12)]));
    const needles = {
      radians: dial.path("stn-needle stn-radians"),
      vector: dial.path("stn-needle stn-vector"),
    };
    for (const [degrees, words] of [
      [0, "0°"],
      [90, "90°"],
      [180, "±180°"],
      [-90, "−90°"],
    ]) {
      dial.text(words, ...onDial(degrees, 1.18));
    }

    const curves = stn.axes([-195, 230, 195, -230], {
      ...{ x: "true angle (°)", y: "answer (°)", xTicks: TICKS, yTicks: TICKS },
      ratio: 1.1,
    });
    curves.path(
      "stn-dial-right",
      stn.path([
        [-180, -180],
        [180, 180],
      ]),
    );
    const lines = {
      radians: curves.path("stn-radians"),
      vector: curves.path("stn-vector"),
    };
    const here = curves.path("stn-rule");
    const dots = {
      radians: curves.path("stn-dot stn-radians"),
      vector: curves.path("stn-dot stn-vector"),
    };

    const handles = [
      stn.handle(dial, "the digit, on the dial", {
        get: () => onDial(angle()),
        move: (x, y) => {
          if (Math.hypot(x, y) > 0.05) setAngle(toDegrees(Math.atan2(x, -y)));
        },
        step: 0.09, // five degrees, and one with Shift
        say: inDegrees,
      }),
      stn.handle(curves, "the digit, on the diagonal", {
        get: () => [angle(), angle()],
        move: (x) => setAngle(x),
        step: 5,
        say: inDegrees,
      }),
    ];

    const says = {};
    const row = (name, words) => {
      says[name] = stn.element("span", {});
      return stn.element(
        "p",
        { class: `stn-answer stn-${name}` },
        stn.element("b", {}, words),
        says[name],
      );
    };
    const answers = stn.element(
      "div",
      { class: "stn-answers" },
      row("radians", "radians"),
      row("vector", "cosine and sine"),
    );

    const SIZE = [digits[0].image.height, digits[0].image.width];
    const draw = () => {
      const turn = (angle() * Math.PI) / 180;
      const params = [Math.cos(turn), -Math.sin(turn), 0, 0];
      const grid = stn.grid(stn.similarity(1), params, SIZE);
      stn.paint(picture, stn.sample(digit().image, grid, SIZE));
      const { radians, vector, length } = answer();
      needles.radians.setAttribute("d", stn.path([[0, 0], onDial(radians, 0.94)]));
      needles.vector.setAttribute("d", stn.path([[0, 0], onDial(vector, length)]));
      for (const [name, line] of Object.entries(lines)) {
        const points = digit().answers.flatMap((answer, k) => {
          const before = k ? digit().answers[k - 1][name] : answer[name];
          const point = [k + FIRST, answer[name]];
          // What leaves the plot above comes back from below: no line in between.
          return Math.abs(answer[name] - before) > 180 ? [[NaN, NaN], point] : [point];
        });
        line.setAttribute("d", stn.path(points));
        dots[name].setAttribute("d", stn.dots([[angle(), answer()[name]]]));
      }
      here.setAttribute("d", `M${angle()} 230V-230`);
      const say = (name) =>
        `${stn.number(answer()[name], 0)}°, off by ` +
        `${stn.number(between(answer()[name], angle()), 0)}°`;
      says.radians.textContent = say("radians");
      says.vector.textContent = `${say("vector")}, length ${stn.number(length)}`;
    };

    const controls = [
      stn.slider("true angle", {
        ...{ min: -180, max: 180, step: 1 },
        get: angle,
        set: setAngle,
        say: inDegrees,
      }),
    ];
    if (digits.length > 1) {
      controls.push(
        stn.choice(
          "digit",
          digits.map(({ label }, k) => [k, label]),
          { get: () => model.get("digit"), set: (digit) => model.set({ digit }) },
        ),
      );
    }
    stn.compose(root, model, {
      body: [answers, stn.panels(dial, curves)],
      controls,
      handles,
      draw,
      code: () => `theta = rotation(math.radians(${-angle()}))`,
      status: () => {
        const { radians, vector } = answer();
        const [first, second] = [between(radians, angle()), between(vector, angle())];
        return (
          `The digit is rotated by ${stn.number(angle(), 0)}°, ` +
          `${180 - Math.abs(angle())}° from the seam. Radians are off by ` +
          `${stn.number(first, 0)}°, cosine and sine by ${stn.number(second, 0)}°.`
        );
      },
    });
  };
})();
