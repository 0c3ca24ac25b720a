// How the figures' scripts are checked: classic scripts around one global, `stn`.

import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: [".venv/", "_build/", "node_modules/"] },
  js.configs.recommended,
  {
    files: ["stn_tutorial/**/*.js", "book/_static/*.js", "slides/*.js"],
    languageOptions: { sourceType: "script", globals: globals.browser },
    rules: { eqeqeq: "error", "no-var": "error", "prefer-const": "error" },
  },
];
