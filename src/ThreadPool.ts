/**
 * Size of libuv's thread pool for files and DNS; the default is 4. It exceeds the store's concurrency (32 reads, 8 in the
 * background, 16 writes), so that writes of the journal never queue behind it. Import it first: libuv reads the size at first use.
 */
// edge: an environment variable is the only interface.
process.env["UV_THREADPOOL_SIZE"] ??= "64"
