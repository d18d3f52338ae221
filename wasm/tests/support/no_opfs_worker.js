// A worker in a browser without a private file system that can be written.
import './no_opfs.js';
import '/fake/worker/entry.js';
