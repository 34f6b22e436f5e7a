import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { twoHosts, runIn } from './underlay'
import { Wire } from './wire'
import { parse } from './parse'
const mac = (n: number) => `02:00:00:00:01:0${n}`
const place = (n: number) => ({ mac: mac(n), addresses: [`10.1.0.${n}/24`, `fd01::${n}/64`] })
test('x', async () => {
  const hosts = await twoHosts()
  const near = await hosts[0].addNetwork(100)
  const far = await hosts[1].addNetwork(100)
  const a = await near.addWorkload('a', place(1))
  const c = await far.addWorkload('c', place(3))
  near.span(hosts[1].vtep)
  far.span(hosts[0].vtep)
  const wire = await Wire.at(hosts[1].netns, hosts[1].net.link('uplink')!.ifindex)
  const wire2 = await Wire.at(hosts[1].netns, hosts[1].net.link('vxlan')!.ifindex)
  console.log(a.ping('10.1.0.3'), runIn(hosts[0].name, 'ip','-s', 'link'), runIn(hosts[1].name, 'ping', '-c1', hosts[0].vtep))
  for (const w of [wire, wire2]) console.log((await w.captured()).map(r => JSON.stringify(parse(r.bytes))).join('\n'))
  for (const h of hosts) for (const o of ['port', 'uplink', 'overlay', 'replica']) console.log(h.name, o, h.counters(o))
  console.log(near.bridge.counters(), far.bridge.counters(), near.bridge.table('copies').entries().slice(0,3), near.bridge.table('copies').entries().slice(8192,8195), near.bridge.table('flood_list').entries(), hosts[0].table('host').entries())
  wire.close(); wire2.close()
  for (const host of hosts) host.close()
})
