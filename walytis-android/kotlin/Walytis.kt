package net.walytis

/** What a call came to, when it did not come to what was asked: a WALYTIS_ number of walytis.h, and what to do. */
class WalytisFailure(val status: Int, text: ByteArray) : Exception(String(text, Charsets.UTF_8))

/** One thing that arrived: `content` is null while it is on its way, and comes later in an event of its own. */
class WalytisEvent(val id: ByteArray, val author: ByteArray, val createdAtMs: Long, val content: ByteArray?)

/**
 * A node. Every method but [release] waits for the disk or for others, so none of them belongs on the main thread:
 * `withContext(Dispatchers.IO)`, or a thread of your own for [next]. They may be called from several threads at once.
 */
class Walytis private constructor(private val node: Long) : AutoCloseable {
    /** Makes a group, whose newcomers may read everything. */
    fun createGroup(name: String) = createGroup(node, text(name))

    /** An invitation's code for `uses` others. Pass it on as you would a password. */
    fun invite(group: String, uses: Int): String = String(invite(node, text(group), uses), Charsets.UTF_8)

    /** Joins a group under a name of this node's own, and returns once everything is here. */
    fun join(code: String, name: String) = join(node, text(code), text(name))

    /** Adds a block, and gives its id. When it returns, the block is on the disk. */
    fun post(group: String, content: ByteArray): ByteArray = post(node, text(group), content)

    /** Everything of a group, from the start: a handle for [next], which [release] lets go. */
    fun subscribe(group: String): Long = subscribe(node, text(group))

    /** Stops the node. Threads that wait in [next] get null. */
    override fun close() = close(node)

    companion object {
        init {
            System.loadLibrary("walytis_jni")
        }

        /** Makes a home in a folder of the app's, locked by 32 random bytes. */
        fun create(home: String, key: ByteArray) = create(text(home), key)

        /** Opens it. `listen` is empty for a node that only dials. */
        fun open(home: String, key: ByteArray, listen: String, reach: Int): Walytis =
            Walytis(open(text(home), key, text(listen), reach))

        /** The next event; null if nothing came in time, or once the node or the handle is closed. */
        @JvmStatic external fun next(events: Long, timeoutMs: Long): WalytisEvent?

        @JvmStatic external fun release(events: Long)

        // A text of Java's is no UTF-8 for C: it has surrogates, and no 0 at its end.
        private fun text(text: String): ByteArray = text.toByteArray(Charsets.UTF_8) + 0

        @JvmStatic private external fun create(home: ByteArray, key: ByteArray)
        @JvmStatic private external fun open(home: ByteArray, key: ByteArray, listen: ByteArray, reach: Int): Long
        @JvmStatic private external fun close(node: Long)
        @JvmStatic private external fun createGroup(node: Long, name: ByteArray)
        @JvmStatic private external fun invite(node: Long, group: ByteArray, uses: Int): ByteArray
        @JvmStatic private external fun join(node: Long, code: ByteArray, name: ByteArray)
        @JvmStatic private external fun post(node: Long, group: ByteArray, content: ByteArray): ByteArray
        @JvmStatic private external fun subscribe(node: Long, group: ByteArray): Long
    }
}
