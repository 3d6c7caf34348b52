// SPDX-License-Identifier: GPL-2.0
/*
 * Quotes: the kernel's configfs tsm/report interface on one side, a process
 * that plays the quoting enclave on the other. One request is under way at a
 * time; it waits for the enclave for at most QUOTE_TIMEOUT.
 *
 *   IDLE --report_new()--> PENDING --read()--> TAKEN --write()--> DONE
 *                             ^                  |
 *                             +---- release() ---+   (a restarted enclave gets another chance)
 */
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/tsm.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "sim.h"

#define QUOTE_TIMEOUT (10 * HZ)

enum state { IDLE, PENDING, TAKEN, DONE };

static DEFINE_MUTEX(one_request); /* held by report_new() for a whole request */
static DEFINE_MUTEX(lock);	  /* guards everything below */
static DECLARE_WAIT_QUEUE_HEAD(changed);
static enum state state;
static struct file *taker;
static u8 pending_report[TDX_REPORT_LEN];
static u8 *answer; /* SIM_QUOTE_MAX bytes */
static size_t answer_len;

static void set_state(enum state next)
{
	WRITE_ONCE(state, next);
	wake_up_all(&changed);
}

static ssize_t qe_read(struct file *file, char __user *to, size_t count, loff_t *pos)
{
	ssize_t ret = sizeof(pending_report);

	if (count < sizeof(pending_report))
		return -EINVAL;
	mutex_lock(&lock);
	while (state != PENDING) {
		mutex_unlock(&lock);
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_event_interruptible(changed, READ_ONCE(state) == PENDING))
			return -ERESTARTSYS;
		mutex_lock(&lock);
	}
	if (copy_to_user(to, pending_report, sizeof(pending_report))) {
		ret = -EFAULT;
	} else {
		taker = file;
		set_state(TAKEN);
	}
	mutex_unlock(&lock);
	return ret;
}

static ssize_t qe_write(struct file *file, const char __user *from, size_t count, loff_t *pos)
{
	ssize_t ret = count;

	if (count == 0 || count > SIM_QUOTE_MAX)
		return -EINVAL;
	mutex_lock(&lock);
	if (state != TAKEN || taker != file) {
		ret = -EINVAL;
	} else if (copy_from_user(answer, from, count)) {
		ret = -EFAULT;
	} else {
		answer_len = count;
		set_state(DONE);
	}
	mutex_unlock(&lock);
	return ret;
}

static __poll_t qe_poll(struct file *file, poll_table *table)
{
	enum state now;

	poll_wait(file, &changed, table);
	now = READ_ONCE(state);
	return now == PENDING ? EPOLLIN | EPOLLRDNORM : now == TAKEN ? EPOLLOUT | EPOLLWRNORM : 0;
}

static long qe_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct sim_initial initial;

	if (cmd != SIM_CMD_SET_INITIAL)
		return -ENOTTY;
	if (copy_from_user(&initial, (void __user *)arg, sizeof(initial)))
		return -EFAULT;
	return sim_registers_set_initial(&initial);
}

static int qe_release(struct inode *inode, struct file *file)
{
	mutex_lock(&lock);
	if (state == TAKEN && taker == file)
		set_state(PENDING);
	if (taker == file)
		taker = NULL;
	mutex_unlock(&lock);
	return 0;
}

static const struct file_operations qe_fops = {
	.owner = THIS_MODULE,
	.read = qe_read,
	.write = qe_write,
	.poll = qe_poll,
	.unlocked_ioctl = qe_ioctl,
	.release = qe_release,
};

static struct miscdevice qe_device = {
	.name = "dstack_tdx_qe",
	.minor = MISC_DYNAMIC_MINOR,
	.mode = 0600,
	.fops = &qe_fops,
};

static int take_answer(struct tsm_report *report)
{
	u8 *copy;

	if (answer_len == 1)
		return -EIO; /* the enclave's way to say that it failed */
	copy = kvmemdup(answer, answer_len, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	report->outblob = copy;
	report->outblob_len = answer_len;
	return 0;
}

static int report_new(struct tsm_report *report, void *data)
{
	long left;
	int ret;

	if (report->desc.inblob_len != TDX_REPORTDATA_LEN)
		return -EINVAL;
	if (mutex_lock_interruptible(&one_request))
		return -EINTR;

	mutex_lock(&lock);
	sim_registers_report(report->desc.inblob, true, pending_report);
	set_state(PENDING);
	mutex_unlock(&lock);

	left = wait_event_interruptible_timeout(changed, READ_ONCE(state) == DONE, QUOTE_TIMEOUT);

	mutex_lock(&lock);
	if (state == DONE) /* also when it arrived together with a signal */
		ret = take_answer(report);
	else
		ret = left < 0 ? -EINTR : -ETIMEDOUT;
	set_state(IDLE); /* an answer that comes too late is refused */
	mutex_unlock(&lock);

	mutex_unlock(&one_request);
	return ret;
}

static bool attr_visible(int n)
{
	return n == TSM_REPORT_GENERATION || n == TSM_REPORT_PROVIDER;
}

static bool bin_attr_visible(int n)
{
	return n == TSM_REPORT_INBLOB || n == TSM_REPORT_OUTBLOB;
}

#if SIM_HAVE_TSM_MR
static const struct tsm_report_ops ops = {
#else
#define tsm_report_register tsm_register
#define tsm_report_unregister tsm_unregister
static const struct tsm_ops ops = {
#endif
	.name = "tdx_guest",
	.report_new = report_new,
	.report_attr_visible = attr_visible,
	.report_bin_attr_visible = bin_attr_visible,
};

int sim_quote_init(void)
{
	int ret;

	answer = kvmalloc(SIM_QUOTE_MAX, GFP_KERNEL);
	if (!answer)
		return -ENOMEM;
	ret = misc_register(&qe_device);
	if (ret)
		goto free_answer;
	ret = tsm_report_register(&ops, NULL);
	if (ret)
		goto remove_device;
	return 0;

remove_device:
	misc_deregister(&qe_device);
free_answer:
	kvfree(answer);
	return ret;
}

void sim_quote_exit(void)
{
	tsm_report_unregister(&ops);
	misc_deregister(&qe_device);
	kvfree(answer);
}
