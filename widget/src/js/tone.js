/* The ring tone: two soft notes, a pause, again. It is computed, so the archive carries no sound. */
define([], function () {
  'use strict';

  const rate = 8000; /* samples a second: enough for notes this low */
  const period = 3.2; /* seconds */
  const notes = [{ at: 0, hertz: 587 }, { at: 0.22, hertz: 784 }, { at: 0.75, hertz: 587 }, { at: 0.97, hertz: 784 }];
  const lasts = 0.5; /* seconds until a note has faded away */
  const loud = 0.35;
  const soft = 0.08; /* beside a talk */
  const patience = 500; /* ms that a browser has to let it sound */

  const fill = (samples) => {
    notes.forEach(({ at, hertz }) => {
      const first = Math.round(at * rate);
      for (let i = 0; i < lasts * rate; i += 1) {
        const t = i / rate;
        const swell = Math.min(1, t * 60) * Math.exp(-t * 9); /* no click at its beginning */
        samples[first + i] += swell * (Math.sin(2 * Math.PI * hertz * t) + 0.25 * Math.sin(4 * Math.PI * hertz * t));
      }
    });
  };

  return class Tone {
    /* page: as window, with AudioContext where there is one      clock */
    constructor({ page, clock }) {
      Object.assign(this, { page, clock });
      this.context = null;
      this.buffer = null;
      this.source = null;
      this.endWait = () => {};
    }

    /* Rings until stop(). Rejects when the browser lets this page make no sound: nobody has clicked in it yet. */
    async start({ quiet = false } = {}) {
      this.stop();
      const source = {}; /* the place of the real one, until there may be one */
      this.source = source;
      await this.open();
      if (this.source !== source) return; /* stopped meanwhile */
      const { context } = this;
      const gain = context.createGain();
      gain.gain.value = quiet ? soft : loud;
      gain.connect(context.destination);
      this.source = context.createBufferSource();
      Object.assign(this.source, { buffer: this.buffer, loop: true });
      this.source.connect(gain);
      this.source.start();
    }

    stop() {
      const { source, context } = this;
      this.source = null;
      this.endWait();
      if (source && source.stop) source.stop();
      if (context) context.suspend().catch(() => {}); /* it costs nothing then */
    }

    close() {
      this.stop();
      if (this.context) this.context.close().catch(() => {});
      this.context = null;
    }

    /* Whether the browser allows sound, as far as it tells; to be called at a click it makes so. */
    async open() {
      const { AudioContext, navigator } = this.page;
      const activation = navigator && navigator.userActivation;
      if (!AudioContext || (activation && !activation.hasBeenActive)) throw new Error('the browser allows no sound yet');
      if (!this.context) {
        this.context = new AudioContext();
        this.buffer = this.context.createBuffer(1, period * rate, rate);
        fill(this.buffer.getChannelData(0));
      }
      await this.running();
    }

    /* A context that may not run leaves its promise open: the first answer counts. */
    async running() {
      const { context } = this;
      const waited = new Promise((resolve) => {
        const cancel = this.clock.after(patience, resolve);
        this.endWait = () => {
          cancel();
          resolve();
        };
      });
      await Promise.race([context.resume(), waited]).finally(this.endWait);
      if (context.state !== 'running') throw new Error('the browser allows no sound yet');
    }
  };
});
