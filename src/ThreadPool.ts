/**
 * Threads of libuv's pool, for files and names. More than the store may use at once (32 reads, 16 writes), so that the
 * journal's writes wait for nobody; its default is four. libuv reads it at the first use of the pool: imported first of all.
 */
// edge: an environment variable is the only way to say it.
process.env["UV_THREADPOOL_SIZE"] ??= "64"
