/* Whether this page runs: a tab may be frozen, kept for the back button, or asleep with its machine. */
define([], function () {
  'use strict';

  const endings = ['freeze', 'pagehide'];
  const beginnings = ['resume', 'pageshow', 'visibilitychange'];

  return class Wake {
    /* page: as window */
    constructor({ page }) {
      this.page = page;
    }

    /* sleep(): the page is about to stop. wake(): it runs again, or somebody looks at it again. */
    start({ sleep, wake }) {
      const asleep = (e) => this.isOwn(e) && sleep();
      const awake = (e) => this.isOwn(e) && this.visible() && wake();
      this.heard = [...endings.map((type) => [type, asleep]), ...beginnings.map((type) => [type, awake])];
      /* Some go to the document and do not bubble. */
      this.heard.forEach(([type, fn]) => this.page.addEventListener(type, fn, true));
    }

    stop() {
      (this.heard || []).forEach(([type, fn]) => this.page.removeEventListener(type, fn, true));
      this.heard = [];
    }

    visible() {
      return this.page.document.visibilityState === 'visible';
    }

    /* An element may have an event of that name for itself. */
    isOwn({ target }) {
      return !target || target.nodeType !== 1;
    }
  };
});
