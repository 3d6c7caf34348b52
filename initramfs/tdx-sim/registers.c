// SPDX-License-Identifier: GPL-2.0
/*
 * The measurement registers of the simulated TD: one live TDREPORT image, the
 * SHA-384 extend operation, and the measurement files of the tdx_guest device.
 */
#include <crypto/hash.h>
#include <linux/err.h>
#include <linux/mutex.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "sim.h"

static DEFINE_MUTEX(lock);
static u8 live[TDX_REPORT_LEN];
static bool in_use; /* extended or quoted: the initial values are final */
static struct crypto_shash *sha384;

int sim_registers_set_initial(const struct sim_initial *initial)
{
	int ret = 0;

	mutex_lock(&lock);
	if (in_use) {
		ret = -EBUSY;
	} else {
		memcpy(live + SIM_MRTD, initial->mrtd, SIM_DIGEST_LEN);
		memcpy(live + SIM_RTMR(0), initial->rtmr, sizeof(initial->rtmr));
	}
	mutex_unlock(&lock);
	return ret;
}

/* register = SHA-384(register || digest); only 2 and 3 belong to the guest's software. */
int sim_registers_extend(unsigned int index, const u8 *digest)
{
	SHASH_DESC_ON_STACK(desc, sha384);
	u8 *reg = live + SIM_RTMR(index);
	u8 next[SIM_DIGEST_LEN];
	int ret;

	if (index != 2 && index != 3)
		return -EINVAL;
	desc->tfm = sha384;
	mutex_lock(&lock);
	ret = crypto_shash_init(desc);
	if (!ret)
		ret = crypto_shash_update(desc, reg, SIM_DIGEST_LEN);
	if (!ret)
		ret = crypto_shash_finup(desc, digest, SIM_DIGEST_LEN, next);
	if (!ret) {
		memcpy(reg, next, SIM_DIGEST_LEN);
		in_use = true;
	}
	mutex_unlock(&lock);
	shash_desc_zero(desc);
	return ret;
}

void sim_registers_report(const u8 *reportdata, bool for_quote, u8 *report)
{
	mutex_lock(&lock);
	if (for_quote)
		in_use = true;
	memcpy(report, live, sizeof(live));
	mutex_unlock(&lock);
	memcpy(report + SIM_REPORTDATA, reportdata, TDX_REPORTDATA_LEN);
}

#if SIM_HAVE_TSM_MR

#include <linux/tsm-mr.h>

/* tsm-mr reads values under a lock of its own, so it gets a copy made under ours. */
static u8 shown[TDX_REPORT_LEN];

#define SIM_STATIC(n, off) \
	{ .mr_value = shown + (off), .mr_name = (n), .mr_size = SIM_DIGEST_LEN, \
	  .mr_flags = TSM_MR_F_NOHASH | TSM_MR_F_READABLE }
#define SIM_HASHED(n, off, flags) \
	{ .mr_value = shown + (off), .mr_name = (n), .mr_size = SIM_DIGEST_LEN, \
	  .mr_hash = HASH_ALGO_SHA384, .mr_flags = (flags) }

static const struct tsm_measurement_register mrs[] = {
	SIM_HASHED("mrtd", SIM_MRTD, TSM_MR_F_READABLE | TSM_MR_F_LIVE),
	SIM_STATIC("mrconfigid", SIM_MRCONFIGID),
	SIM_STATIC("mrowner", SIM_MROWNER),
	SIM_STATIC("mrownerconfig", SIM_MROWNERCONFIG),
	SIM_HASHED("rtmr0", SIM_RTMR(0), TSM_MR_F_READABLE | TSM_MR_F_LIVE),
	SIM_HASHED("rtmr1", SIM_RTMR(1), TSM_MR_F_READABLE | TSM_MR_F_LIVE),
	SIM_HASHED("rtmr2", SIM_RTMR(2), TSM_MR_F_READABLE | TSM_MR_F_RTMR),
	SIM_HASHED("rtmr3", SIM_RTMR(3), TSM_MR_F_READABLE | TSM_MR_F_RTMR),
};

static int mr_refresh(const struct tsm_measurements *tm)
{
	mutex_lock(&lock);
	memcpy(shown, live, sizeof(live));
	mutex_unlock(&lock);
	return 0;
}

static int mr_extend(const struct tsm_measurements *tm,
		     const struct tsm_measurement_register *mr, const u8 *data)
{
	return sim_registers_extend(((u8 *)mr->mr_value - (shown + SIM_RTMR(0))) / SIM_DIGEST_LEN, data);
}

static const struct tsm_measurements measurements = {
	.mrs = mrs,
	.nr_mrs = ARRAY_SIZE(mrs),
	.refresh = mr_refresh,
	.write = mr_extend,
};

static const struct attribute_group *group;

static int group_init(void)
{
	group = tsm_mr_create_attribute_group(&measurements);
	return PTR_ERR_OR_ZERO(group);
}

static void group_exit(void)
{
	tsm_mr_free_attribute_group(group);
}

const struct attribute_group *sim_registers_group(void)
{
	return group;
}

#else /* plain binary attributes with the names and modes that tsm-mr gives them */

static ssize_t mr_read(struct file *file, struct kobject *kobj, struct bin_attribute *attr,
		       char *to, loff_t off, size_t count)
{
	ssize_t ret;

	mutex_lock(&lock);
	ret = memory_read_from_buffer(to, count, &off, live + (uintptr_t)attr->private, SIM_DIGEST_LEN);
	mutex_unlock(&lock);
	return ret;
}

static ssize_t mr_write(struct file *file, struct kobject *kobj, struct bin_attribute *attr,
			char *from, loff_t off, size_t count)
{
	unsigned int index = ((uintptr_t)attr->private - SIM_RTMR(0)) / SIM_DIGEST_LEN;
	int ret;

	if (off != 0 || count != SIM_DIGEST_LEN)
		return -EINVAL;
	ret = sim_registers_extend(index, from);
	return ret ?: count;
}

/*
 * No .size: with one, sysfs itself would cut a longer write to 48 bytes before
 * mr_write() could refuse it.
 */
#define SIM_ATTR(ident, text, off, rights, writer) \
	static struct bin_attribute attr_##ident = { \
		.attr = { .name = (text), .mode = (rights) }, \
		.private = (void *)(uintptr_t)(off), \
		.read = mr_read, \
		.write = (writer), \
	}
SIM_ATTR(mrtd, "mrtd:sha384", SIM_MRTD, 0444, NULL);
SIM_ATTR(mrconfigid, "mrconfigid", SIM_MRCONFIGID, 0444, NULL);
SIM_ATTR(mrowner, "mrowner", SIM_MROWNER, 0444, NULL);
SIM_ATTR(mrownerconfig, "mrownerconfig", SIM_MROWNERCONFIG, 0444, NULL);
SIM_ATTR(rtmr0, "rtmr0:sha384", SIM_RTMR(0), 0444, NULL);
SIM_ATTR(rtmr1, "rtmr1:sha384", SIM_RTMR(1), 0444, NULL);
SIM_ATTR(rtmr2, "rtmr2:sha384", SIM_RTMR(2), 0644, mr_write);
SIM_ATTR(rtmr3, "rtmr3:sha384", SIM_RTMR(3), 0644, mr_write);

static struct bin_attribute *attrs[] = {
	&attr_mrtd,  &attr_mrconfigid, &attr_mrowner, &attr_mrownerconfig,
	&attr_rtmr0, &attr_rtmr1,      &attr_rtmr2,   &attr_rtmr3,
	NULL,
};

static const struct attribute_group group = { .name = "measurements", .bin_attrs = attrs };

static int group_init(void)
{
	return 0;
}

static void group_exit(void)
{
}

const struct attribute_group *sim_registers_group(void)
{
	return &group;
}

#endif

int sim_registers_init(void)
{
	/* SEPT_VE_DISABLE, and the features of a usual TD: x87, SSE, AVX, AVX-512, PKU, AMX */
	static const u8 attributes[8] = { 0, 0, 0, 0x10 };
	static const u8 xfam[8] = { 0xe7, 0x02, 0x06 };
	int ret;

	live[0] = 0x81; /* report type: TDX */
	memcpy(live + SIM_ATTRIBUTES, attributes, sizeof(attributes));
	memcpy(live + SIM_XFAM, xfam, sizeof(xfam));
	sha384 = crypto_alloc_shash("sha384", 0, 0);
	if (IS_ERR(sha384))
		return PTR_ERR(sha384);
	ret = group_init();
	if (ret)
		crypto_free_shash(sha384);
	return ret;
}

void sim_registers_exit(void)
{
	group_exit();
	crypto_free_shash(sha384);
}
