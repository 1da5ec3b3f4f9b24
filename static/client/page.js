// The page around the client: whether it sleeps, and whether somebody looks at it.

const PAGE_EVENTS = ['online', 'offline', 'pageshow', 'pagehide', 'visibilitychange', 'freeze', 'resume', 'focus'];

/** on.sleep(): no line may be held now. on.wake(changed): it runs again, or its network has changed. on.look(): whether it
 * is visible has changed. */
function makePage({ page, now }, on) {
  const part = () => page.document || page;
  let watching = false;
  let looked = 0; // when it was visible last

  const visible = () => Boolean(page) && part().visibilityState !== 'hidden';

  /** How far (ms) this page is from the one that somebody looks at. */
  function distance() {
    if (!page) return 0;
    if (visible()) return part().hasFocus && !part().hasFocus() ? 50 : 0;
    return 500 - 250 / (1 + (now() - looked) / MINUTE); // the one looked at last comes first
  }

  function onPage({ type, target }) {
    if (target.nodeType === 1) return; // an element has an event of that name for itself
    if (type === 'visibilitychange' || type === 'focus') looked = now();
    if (type === 'visibilitychange') on.look();
    if (type === 'freeze' || type === 'pagehide') on.sleep();
    else if (type !== 'visibilitychange' || visible()) on.wake(type === 'online' || type === 'offline');
  }

  /** Listens to the page's events, or no more. It captures, since some go to the document and do not bubble. */
  function watch(on) {
    if (!page || on === watching) return;
    watching = on;
    for (const type of PAGE_EVENTS) page[on ? 'addEventListener' : 'removeEventListener'](type, onPage, true);
  }

  return { visible, distance, watch };
}
