import type { Progress } from '../types/load.js';

/** Adds up the progress of files that come at the same time. */
export class Tally {
  private readonly files: FileProgress[] = [];

  constructor(private readonly report: (progress: Progress) => void) {}

  file(): FileProgress {
    const file = new FileProgress((note) => this.tell(note));
    this.files.push(file);
    return file;
  }

  private tell(note: string | undefined): void {
    const sum = (of: (file: FileProgress) => number) =>
      this.files.reduce((total, file) => total + of(file), 0);
    this.report({
      stage: 'fetch',
      loaded: sum((file) => file.loaded),
      total: sum((file) => file.total),
      cached: sum((file) => file.fromCache),
      ...(note === undefined ? {} : { note }),
    });
  }
}

/** The progress of one file. */
export class FileProgress {
  loaded = 0;
  total = 0;
  fromCache = 0;

  constructor(private readonly tell: (note?: string) => void) {}

  /** Negative while it is unknown. */
  size(bytes: number): void {
    this.total = Math.max(0, bytes);
    this.tell();
  }

  found(bytes: number): void {
    this.fromCache += bytes;
    this.moved(bytes);
  }

  moved(bytes: number): void {
    this.loaded += bytes;
    this.tell();
  }

  restart(): void {
    this.loaded = 0;
    this.fromCache = 0;
  }

  /** Something that a person should know. */
  note(words: string): void {
    this.tell(words);
  }

  done(size: number): void {
    this.loaded = this.total = size;
    this.tell();
  }
}
