// SPDX-License-Identifier: GPL-2.0
/*
 * A simulated Intel TDX guest device for development images: the same user
 * interfaces as drivers/virt/coco/tdx-guest, backed by plain memory. It gives
 * no security whatsoever and must never be part of a production image.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/uaccess.h>

#include "sim.h"

static long get_report0(void __user *arg)
{
	struct tdx_report_req *req = memdup_user(arg, sizeof(*req));
	long ret = 0;

	if (IS_ERR(req))
		return PTR_ERR(req);
	sim_registers_report(req->reportdata, false, req->tdreport);
	if (copy_to_user(arg, req, sizeof(*req)))
		ret = -EFAULT;
	kfree(req);
	return ret;
}

static long extend_rtmr(void __user *arg)
{
	struct sim_extend req;

	if (copy_from_user(&req, arg, sizeof(req)))
		return -EFAULT;
	return sim_registers_extend(req.index, req.data);
}

static long guest_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case TDX_CMD_GET_REPORT0:
		return get_report0((void __user *)arg);
	case SIM_CMD_EXTEND_RTMR:
		return extend_rtmr((void __user *)arg);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations guest_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = guest_ioctl,
};

static const struct attribute_group *guest_groups[2];

static struct miscdevice guest_device = {
	.name = "tdx_guest",
	.minor = MISC_DYNAMIC_MINOR,
	.fops = &guest_fops,
	.groups = guest_groups,
};

static int __init sim_init(void)
{
	int ret;

	BUILD_BUG_ON(sizeof(struct sim_extend) != 49);
	BUILD_BUG_ON(sizeof(struct sim_initial) != 240);

	ret = sim_registers_init();
	if (ret)
		return ret;
	guest_groups[0] = sim_registers_group();
	ret = misc_register(&guest_device);
	if (ret)
		goto free_registers;
	ret = sim_quote_init();
	if (ret)
		goto remove_device;
	pr_warn("simulated TDX guest: for development only\n");
	return 0;

remove_device:
	misc_deregister(&guest_device);
free_registers:
	sim_registers_exit();
	return ret;
}

static void __exit sim_exit(void)
{
	sim_quote_exit();
	misc_deregister(&guest_device);
	sim_registers_exit();
}

module_init(sim_init);
module_exit(sim_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Simulated Intel TDX guest device (development only)");
MODULE_SOFTDEP("pre: sha384");
