// Small tools for building and changing the page. Text goes in as text, never as markup.

const SVG = 'http://www.w3.org/2000/svg'

// h makes an element: attributes by name, "on…" as listeners, properties such as value or disabled as they are.
export function h (tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value)
    else if (name in element && typeof value !== 'string') element[name] = value
    else element.setAttribute(name, value)
  }
  element.append(...children)
  return element
}

// shape makes an SVG of one or more paths, stroked or filled by the style sheet.
export function shape (name, box, ...paths) {
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('viewBox', box)
  svg.setAttribute('class', name)
  svg.setAttribute('aria-hidden', 'true')
  for (const d of paths) {
    const path = document.createElementNS(SVG, 'path')
    path.setAttribute('d', d)
    svg.append(path)
  }
  return svg
}

// setText changes a text only when it differs, so that a selection in it survives.
export function setText (element, text) {
  if (element.textContent !== text) element.textContent = text
}

// clock is a duration in milliseconds as m:ss.
export function clock (ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}
