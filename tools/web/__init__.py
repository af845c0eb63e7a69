"""A page that judges pictures in the browser, by exported networks as WebAssembly."""
