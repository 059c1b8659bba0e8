/* A qemu plugin (interface 1, qemu 7.2) that counts the guest's instructions.

   The guest asks by a system call that no kernel has; the count so far then goes to standard error as a line of its own.
   Debian has no header for the interface, so that what is used of it is declared here. */

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define EXPORTED __attribute__((visibility("default")))
#define ADD_U64 0        /* enum qemu_plugin_op: the only one there is. */
#define ASKED_BY 7391    /* The same number is in count_files.py. */

struct qemu_plugin_tb;
typedef void translated_t(uint64_t id, struct qemu_plugin_tb *block);
typedef void called_t(uint64_t id, unsigned cpu, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                      uint64_t, uint64_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, translated_t *translated);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, int operation, void *counter, uint64_t value);
void qemu_plugin_register_vcpu_syscall_cb(uint64_t id, called_t *called);

EXPORTED int qemu_plugin_version = 1;

static uint64_t instructions;

/* A block runs from its first instruction to its last: its length is added each time that it is entered. */
static void on_translated(uint64_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &instructions, qemu_plugin_tb_n_insns(block));
}

static void on_call(uint64_t id, unsigned cpu, int64_t number, uint64_t label, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                    uint64_t f, uint64_t g, uint64_t h)
{
    (void)id, (void)cpu, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number == ASKED_BY)
        fprintf(stderr, "instructions %" PRIu64 " %" PRIu64 "\n", label, instructions);
}

EXPORTED int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated);
    qemu_plugin_register_vcpu_syscall_cb(id, on_call);
    return 0;
}
