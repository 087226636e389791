// uPlot asks Intl for the browser's language; under a POSIX locale that may be a name that Intl refuses.
(() => {
  "use strict";
  try {
    new Intl.NumberFormat(navigator.language);
  } catch {
    Object.defineProperty(navigator, "language", { value: "en-US", configurable: true });
  }
})();
