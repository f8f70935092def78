import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// The build goes into the Python package, which serves it; `npm run dev` proxies the API of a local server.
export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: "../src/ironflow/dashboard/built",
    emptyOutDir: true,
    // The Content-Security-Policy permits no data: addresses for scripts and fonts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { checks: { pluginTimings: false } },
  },
  server: {
    proxy: { "^/(api|health|ready|metrics|ironflow\\.v1)": "http://127.0.0.1:9123", "/ws": { target: "ws://127.0.0.1:9123", ws: true } },
  },
});
