// A small static server for tests, with ranges, and with the faults of real ones.

import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { open, stat } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

/** How a file is served; tests change it while the server runs. */
const USUAL = {
  ranges: true,
  /** Milliseconds before each 64 KiB. */
  delay: 0,
  /** So many answers break off half way. */
  breaks: 0,
  /** So many answers are `503`. */
  busy: 0,
  /** Every answer is `403`. */
  refused: false,
  /** The file has been removed. */
  gone: false,
  /** `HEAD` is answered too, or `never`. */
  head: true,
  /** Other origins may read it, and so these headers too. */
  expose: 'content-range, etag',
  /** The length is told. */
  length: true,
  /** The version is told; `weak`: by turns as a weak one. */
  etag: true,
  /** Bytes that one answer to a range brings at most. */
  most: Infinity,
  /** The content-range is not sent. */
  hidden: false,
  /** What the bytes are sent as. */
  encoding: undefined,
  /** Ranges are sent compressed and cannot be read. */
  garbled: false,
  /** Counted up, the file is another one. */
  version: 1,
};

/** Starts on a free port of 127.0.0.1. */
export async function startServer() {
  const files = new Map();
  const mounts = [];
  const log = [];
  const posts = new Map();
  const server = createServer((request, response) => {
    answer(request, response).catch((error) => {
      if (!response.headersSent) response.writeHead(500);
      response.end(String(error));
    });
  });

  async function answer(request, response) {
    const path = decodeURIComponent(new URL(request.url, 'http://x').pathname);
    if (request.method === 'POST' && posts.has(path)) {
      const pieces = [];
      for await (const piece of request) pieces.push(piece);
      response.end();
      return posts.get(path)(JSON.parse(Buffer.concat(pieces).toString()));
    }
    const file = files.get(path) ?? (await mounted(path));
    log.push({ method: request.method, path, range: request.headers.range });
    response.setHeader('access-control-allow-origin', '*');
    response.setHeader('cross-origin-resource-policy', 'cross-origin');
    if (!file) return response.writeHead(404).end('no such file');
    const how = file.how;
    if (how.busy > 0) {
      how.busy--;
      return response.writeHead(503).end('busy');
    }
    if (how.gone) return response.writeHead(404).end('no such file');
    if (how.refused) return response.writeHead(403).end('refused');
    if (how.head === 'never' && request.method === 'HEAD') return;
    if (!how.head && request.method === 'HEAD') return response.destroy();
    if (how.expose) response.setHeader('access-control-expose-headers', how.expose);
    if (how.etag) response.setHeader('etag', `${how.etag === 'weak' && log.length % 2 ? 'W/' : ''}"${createHash('sha1').update(path + how.version).digest('hex').slice(0, 12)}"`);
    response.setHeader('content-type', TYPES[extname(file.name ?? path)] ?? 'application/octet-stream');
    const wanted = how.ranges && /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    let [from, to] = [0, file.size];
    if (wanted) {
      from = Number(wanted[1]);
      to = Math.min(file.size, wanted[2] ? Number(wanted[2]) + 1 : file.size, from + how.most);
      if (from >= file.size) {
        response.setHeader('content-range', `bytes */${file.size}`);
        return response.writeHead(416).end();
      }
      if (!how.hidden) response.setHeader('content-range', `bytes ${from}-${to - 1}/${file.size}`);
      response.statusCode = 206;
      if (how.garbled) response.setHeader('content-encoding', 'gzip');
    }
    if (how.encoding) response.setHeader('content-encoding', how.encoding);
    if (how.length) response.setHeader('content-length', to - from);
    if (request.method === 'HEAD') return response.end();
    const breaks = how.breaks > 0 && to - from > 1;
    if (breaks) {
      how.breaks--;
      to = from + Math.floor((to - from) / 2);
    }
    for (let at = from; at < to && !response.destroyed; at += 65536) {
      if (how.delay) await new Promise((go) => setTimeout(go, how.delay));
      const piece = await file.read(at, Math.min(65536, to - at));
      if (!response.write(piece)) await drained(response);
    }
    if (breaks) response.destroy();
    else response.end();
  }

  async function mounted(path) {
    for (const [prefix, folder] of mounts) {
      if (!path.startsWith(prefix)) continue;
      const name = join(folder, normalize('/' + path.slice(prefix.length)));
      const found = await stat(name).catch(() => undefined);
      if (found?.isDirectory()) return mounted(path.endsWith('/') ? `${path}index.html` : `${path}/index.html`);
      if (!found) continue;
      const read = async (at, length) => {
        const handle = await open(name);
        const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, at);
        await handle.close();
        return buffer.subarray(0, bytesRead);
      };
      return { name, size: found.size, read, how: { ...USUAL } };
    }
    return undefined;
  }

  await new Promise((go) => server.listen(0, '127.0.0.1', go));
  const { port } = server.address();
  return {
    /** `localhost` has another origin, for what crosses origins. */
    url: (path = '/', host = '127.0.0.1') => `http://${host}:${port}${path}`,
    log,
    /** Serves bytes; the answer is how, to be changed at will. */
    add(path, bytes, how = {}) {
      const file = { size: bytes.length, read: async (at, length) => bytes.subarray(at, at + length), how: { ...USUAL, ...how } };
      files.set(path, file);
      return file.how;
    },
    /** Serves a folder. Later mounts come first. */
    mount: (prefix, folder) => void mounts.unshift([prefix, folder]),
    /** What a page posts to `path` next, as JSON. */
    posted: (path) => new Promise((go) => posts.set(path, go)),
    requests: (path) => log.filter((entry) => entry.path === path),
    async close() {
      server.closeAllConnections();
      await new Promise((go) => server.close(go));
    },
  };
}

function drained(response) {
  return new Promise((go) => {
    const over = () => {
      response.off('drain', over);
      response.off('close', over);
      go();
    };
    response.on('drain', over);
    response.on('close', over);
  });
}

/** Bytes that are the same in each run and compress badly. */
export function noise(length, seed = 1) {
  const bytes = Buffer.alloc(length);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state;
  }
  return bytes;
}

export const sha256 = (bytes) => `sha256-${createHash('sha256').update(bytes).digest('base64')}`;
