// Wires the page: what is at the telephones is fetched once, watched from then on, and handed to every part.

import { Caller } from './caller.js'
import { Cord } from './cord.js'
import { CrmWindow } from './crmwindow.js'
import { DeskPhone } from './deskphone.js'
import { h } from './dom.js'
import { Mobile } from './mobile.js'
import { Notice } from './notice.js'
import { Pbx } from './pbx.js'
import { Steps } from './steps.js'
import { Story } from './story.js'
import { Wire } from './wire.js'
import { Words } from './words.js'

const $ = id => document.getElementById(id)
const notice = new Notice({ element: $('notice') })

async function start () {
  const response = await fetch('config.json')
  if (!response.ok) throw new Error(`config.json: ${response.status}`)
  const { users, callers, pbx: base } = await response.json()

  const pbx = new Pbx({ base, fetch: fetch.bind(window), EventSource, now: Date.now })
  const words = new Words({ users, callers })
  const act = async (action, fields) => {
    try {
      await pbx.act(action, fields)
      return true
    } catch (error) {
      notice.say(error.message)
      return false
    }
  }

  let latest
  const meet = people => {
    words.meet(people)
    if (latest) show(latest)
  }
  const windows = users.map(user => new CrmWindow({ user, pbx, meet }))
  const phones = users.map(user => new DeskPhone({
    user, pbx, words, act, colleague: users.find(u => u !== user)?.extension
  }))
  const cords = users.map(user => new Cord({ extension: user.extension }))
  const caller = new Caller({ users, callers, act })
  const mobile = new Mobile({ pbx, words, act })
  const story = new Story({ words })
  const wire = new Wire({ element: $('wire'), act })
  const steps = new Steps({ element: $('steps'), users, page: document })

  $('windows').append(...windows.map(w => w.element))
  $('desk').append(
    phones[0].element, cords[0].element,
    h('div', { class: 'outside' }, caller.element, mobile.element),
    ...phones.slice(1).flatMap((phone, i) => [cords[i + 1].element, phone.element]),
    story.element)

  const parts = [...windows, ...phones, ...cords, mobile, story, wire, steps]
  const show = state => {
    latest = state
    parts.forEach(part => part.show(state))
  }
  pbx.watch(
    show,
    reached => notice.keep(reached ? '' : 'The demo does not answer. Is it still running? Trying again…'))
  setInterval(() => parts.forEach(part => part.tick?.()), 250)
}

start().catch(error => notice.keep(`The demo could not start: ${error.message}`))
