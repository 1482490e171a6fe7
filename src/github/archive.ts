/**
 * A folder as one `.tar.gz` file, the same bytes for the same content.
 * @module
 */

/** Regular files of `folder`, under `prefix/` in the archive. @returns the archive's size in bytes */
export declare function packFolder(folder: string, prefix: string, file: string): Promise<number>;
