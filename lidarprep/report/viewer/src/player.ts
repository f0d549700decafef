// Plays the frames: one after the other, none before its points are decoded.

import { type App, shownFrames } from "./state";

/** Start and stop as the state's `playing` says; ends at the last frame. */
export function startPlayer(app: App): void {
  const { scene, state } = app;
  let timer = 0;

  const tick = async (due: number) => {
    const { playing, frame, speed } = state.get();
    if (!playing) return;
    const next = frame + 1;
    if (next >= scene.frames.length) {
      state.set({ playing: false });
      return;
    }
    await Promise.all(shownFrames(scene, { ...state.get(), frame: next }).map((row) => app.points.load(row)));
    const now = performance.now();
    timer = window.setTimeout(() => {
      if (!state.get().playing) return;
      state.set({ frame: next });
      void tick(Math.max(due, performance.now()) + 1000 / speed);
    }, Math.max(0, due - now));
  };

  state.subscribe(({ playing, frame, speed }, changed) => {
    if (!changed.has("playing") && !(playing && changed.has("speed"))) return;
    window.clearTimeout(timer);
    if (!playing) return;
    if (frame === scene.frames.length - 1) state.set({ frame: 0 });
    void tick(performance.now() + 1000 / speed);
  });
}
